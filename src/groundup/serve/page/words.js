// What the page says, in two languages. Elements name what they say: data-say (text), data-say-label,
// data-say-placeholder.

export const words = {
  en: {
    other: "中文", chat: "Chat", inside: "Look inside", conversation: "Conversation",
    message: "Message", write: "Write a message. Enter sends, Shift+Enter begins a new line.",
    writeText: "Write the beginning of a text, and the model goes on with it.",
    send: "Send", goOn: "Go on", stop: "Stop", again: "Answer again", clear: "New conversation",
    settings: "Settings", system: "System prompt", seed: "Seed", random: "random",
    defaults: "Set back", temperature: "Temperature", top_p: "Top-p", top_k: "Top-k", min_p: "Min-p",
    max_tokens: "Most tokens", off: "off", you: "You", model: "Model", edit: "Edit",
    save: "Save and go on", cancel: "Cancel", retry: "Try again",
    answering: "The model is answering.", stopped: "stopped", length: "broken off at the longest length",
    counts: (given, made) => `${given} tokens read, ${made} written`,
    hello: "This model runs here. Nothing that you write leaves for another server.",
    helloText: "This model knows no turns of conversation; it goes on with a text.",
    busy: "The server is busy with other requests. Try again in a moment.",
    tooLong: "The text is longer than the model can read. Begin a new conversation, or shorten it. ",
    gone: "The server does not answer. Is it still running?",
    broken: "The connection broke off in the middle of the answer.",
    refused: "The server refuses this: ", wrongKey: "This key is not the right one.",
    key: "This server wants an API key. It is kept until you close this tab.", ok: "OK",
    classifier: "This model gives labels (POST /v1/classify); it does not chat.",
    text: "Text", look: "Look inside", looking: "Computing…",
    lookedAt: (n) => `${n} tokens`,
    tokens: "How the text is cut", surprise: "How surprised the model is", next: "What comes next",
    lens: "What each layer would say", attention: "Where a head looks",
    aboutTokens: "Each box is a whole character or more; the number counts its tokens where there are " +
      "several. Choose a box (click, or ← →): what is shown below stands after it.",
    aboutSurprise: "Bits of each token: 1 bit is a coin toss, 10 bits one chance in 1,024.",
    aboutNext: "The likeliest next tokens. The outline is what the model says, the full bar what is left " +
      "after the settings; what a setting cuts away is grey. The longest bar has the whole width.",
    aboutLens: "The logit lens: the state after each layer, read by the head as if it were the last.",
    aboutAttention: "Row: the token that looks. Column: the token it takes from. Arrow keys or the " +
      "pointer read the weights.",
    token: "Token", saysModel: "Model", left: "After settings", cutBy: "Cut by",
    nothingBefore: "nothing before it",
    kept: (name, kept, all) => `${name}: ${kept} of ${all} left`,
    bits: (bits) => `${bits} bits`, mean: (bits) => `mean: ${bits} bits per token`,
    layer: "Layer", head: "Head", embedding: "Embedding", layerN: (n) => `Layer ${n}`,
    chosen: (text, position, ids) => `${text} · position ${position} · id ${ids}`,
    looks: (i, from, j, to, weight) => `${from} (${i}) takes ${weight} from ${to} (${j})`,
    noMap: (n) => `A map is drawn of texts up to ${n} tokens.`,
    noAttention: "This model has no layer of attention.",
    training: "Training", time: "Time machine", which: "Training of", pretrain: "pretraining",
    finetune: "fine-tuning",
    noRun: "This model lies in no run of groundup, so nothing is known of its training: `groundup pretrain " +
      "--data FILE --out runs/mine` makes a run, and `groundup serve runs/mine` shows it here.",
    notBegun: "It has not begun.", finished: (step) => `Finished after ${step} steps.`,
    underWay: (step, steps, seconds) =>
      `Step ${step}${steps ? ` of ${steps}` : ""}; last news ${seconds} seconds ago.`,
    stoppedBy: (why) => `The training has stopped: ${why}.`,
    samples: "What it wrote on the way", noSamples: "It has written no samples.",
    aboutSamples: (shown, all) => (shown < all ? `The newest ${shown} of ${all}.` :
      "The newest first."),
    curve_loss: "Training loss", curve_val_loss: "Validation loss", losses: "Loss (nats)",
    curve_val_bits_per_byte: "Validation bits per byte", curve_rate: "Learning rate (share of its peak)",
    curve_gradient_norm: "Gradient norm (before clipping)", curve_tokens_per_second: "Tokens per second",
    curve_data_share: "Share of the time: getting batches", curve_compute_share: "Share of the time: computing",
    curve_communication_share: "Share of the time: waiting for other processes",
    curve_checkpoint_share: "Share of the time: checkpoints",
    curve_evaluation_share: "Share of the time: evaluation", curve_other_share: "Share of the time: other",
    chart: "Chart. Arrow keys, Home and End read its points.",
    stepN: (step) => `step ${step}`, point: (name, value) => `${name}: ${value}`,
    aboutTime: "One beginning, continued by the model as it was at each checkpoint, with the same seed and " +
      "settings.",
    prompt: "Beginning of a text", go: "Ask every checkpoint", asking: (step) => `Asking step ${step}…`,
    asked: (n) => (n === 1 ? "1 checkpoint has answered." : `${n} checkpoints have answered.`), halted: "Stopped.", valLoss: (loss) => `validation loss ${loss}`,
    keptNone: "This training has kept no checkpoint. ",
    keptSome: (n, steps) => `Kept checkpoints (${n}): step ${steps}. `,
    keepMore: (n, setting) => `A run keeps its newest ${n}; to keep more, train with \`groundup run … ` +
      `--${setting} 50\` (or \`--train.keep_checkpoints 50\` with \`pretrain\` and \`finetune\`).`,
    labels: "This training makes a classifier, which writes no text.",
  },
  zh: {
    other: "English", chat: "对话", inside: "看里面", conversation: "对话记录",
    message: "消息", write: "写一条消息。回车发送，Shift+回车换行。",
    writeText: "写一段文字的开头，模型会接着写下去。",
    send: "发送", goOn: "接着写", stop: "停止", again: "重新回答", clear: "新对话",
    settings: "设置", system: "系统提示", seed: "随机种子", random: "随机",
    defaults: "恢复默认", temperature: "温度", top_p: "Top-p", top_k: "Top-k", min_p: "Min-p",
    max_tokens: "最多词元数", off: "关", you: "你", model: "模型", edit: "修改",
    save: "保存并继续", cancel: "取消", retry: "再试一次",
    answering: "模型正在回答。", stopped: "已停止", length: "到达长度上限",
    counts: (given, made) => `读入 ${given} 个词元，写出 ${made} 个`,
    hello: "模型就在这里运行。你写的内容不会发送到别的服务器。",
    helloText: "这个模型不懂对话轮次；它会接着一段文字写下去。",
    busy: "服务器正忙于其他请求，请稍后再试。",
    tooLong: "文字超过了模型能读的长度。请开始新对话，或缩短内容。",
    gone: "服务器没有回应。它还在运行吗？",
    broken: "回答到一半时连接断开了。",
    refused: "服务器拒绝了请求：", wrongKey: "密钥不正确。",
    key: "此服务器需要 API 密钥。密钥只保留到关闭此标签页。", ok: "确定",
    classifier: "这个模型给出标签（POST /v1/classify），不能对话。",
    text: "文字", look: "看里面", looking: "计算中…",
    lookedAt: (n) => `${n} 个词元`,
    tokens: "文字怎样切分", surprise: "模型有多意外", next: "接下来是什么",
    lens: "每一层会说什么", attention: "注意力头看哪里",
    aboutTokens: "每个方框是一个或多个完整的字；由几个词元组成时标出个数。选择一个方框（点击或按 ← →），" +
      "下面显示的就是它之后的情况。",
    aboutSurprise: "每个词元的比特数：1 比特如同抛硬币，10 比特是 1,024 分之一的机会。",
    aboutNext: "最可能的下一个词元。边框是模型给出的概率，实心条是经过设置之后剩下的；被某项设置去掉的为灰色。最长的条占满宽度。",
    aboutLens: "对数几率透镜：把每一层之后的状态当作最后一层，直接交给输出头来读。",
    aboutAttention: "行是在看的词元，列是它取用的词元。用方向键或指针读出权重。",
    token: "词元", saysModel: "模型", left: "设置之后", cutBy: "被去掉",
    nothingBefore: "前面没有内容",
    kept: (name, kept, all) => `${name}：剩下 ${kept} / ${all}`,
    bits: (bits) => `${bits} 比特`, mean: (bits) => `平均：每个词元 ${bits} 比特`,
    layer: "层", head: "头", embedding: "嵌入", layerN: (n) => `第 ${n} 层`,
    chosen: (text, position, ids) => `${text} · 位置 ${position} · 编号 ${ids}`,
    looks: (i, from, j, to, weight) => `${from}（${i}）从 ${to}（${j}）取 ${weight}`,
    noMap: (n) => `注意力图最多画 ${n} 个词元。`,
    noAttention: "这个模型没有注意力层。",
    training: "训练", time: "时间机器", which: "训练阶段", pretrain: "预训练", finetune: "微调",
    noRun: "这个模型不在 groundup 的运行目录里，所以不知道它是怎么训练的：`groundup pretrain --data 文件 --out runs/mine` " +
      "会建立一个运行目录，再用 `groundup serve runs/mine` 就能在这里看到。",
    notBegun: "还没有开始。", finished: (step) => `已完成，共 ${step} 步。`,
    underWay: (step, steps, seconds) => `第 ${step} 步${steps ? `，共 ${steps} 步` : ""}；${seconds} 秒前有新消息。`,
    stoppedBy: (why) => `训练停止了：${why}。`,
    samples: "训练途中写的样本", noSamples: "它没有写样本。",
    aboutSamples: (shown, all) => (shown < all ? `最新的 ${shown} 个，共 ${all} 个。` : "新的在前。"),
    curve_loss: "训练损失", curve_val_loss: "验证损失", losses: "损失（奈特）",
    curve_val_bits_per_byte: "验证集每字节比特数", curve_rate: "学习率（占峰值的比例）",
    curve_gradient_norm: "梯度范数（裁剪之前）", curve_tokens_per_second: "每秒词元数",
    curve_data_share: "时间占比：取批次", curve_compute_share: "时间占比：计算",
    curve_communication_share: "时间占比：等待其他进程", curve_checkpoint_share: "时间占比：检查点",
    curve_evaluation_share: "时间占比：评测", curve_other_share: "时间占比：其他",
    chart: "曲线图。用方向键、Home 和 End 读出各点。",
    stepN: (step) => `第 ${step} 步`, point: (name, value) => `${name}：${value}`,
    aboutTime: "同一个开头，由各个检查点的模型接着写，种子和设置都相同。",
    prompt: "文字的开头", go: "问每个检查点", asking: (step) => `正在问第 ${step} 步…`,
    asked: (n) => `${n} 个检查点回答完了。`, halted: "已停止。", valLoss: (loss) => `验证损失 ${loss}`,
    keptNone: "这次训练没有留下检查点。",
    keptSome: (n, steps) => `留下的检查点（${n} 个）：第 ${steps} 步。`,
    keepMore: (n, setting) => `一次运行只留最新的 ${n} 个；要多留一些，训练时用 \`groundup run … --${setting} 50\`` +
      `（\`pretrain\` 和 \`finetune\` 用 \`--train.keep_checkpoints 50\`）。`,
    labels: "这次训练得到的是分类模型，不写文字。",
  },
};

let language = kept() || (navigator.language.startsWith("zh") ? "zh" : "en");

function kept() {
  const found = localStorage.getItem("groundup-language");
  return found in words ? found : null;
}

// A word or sentence of the page; some take numbers or texts.
export function say(name, ...given) {
  const found = words[language][name];
  return typeof found === "function" ? found(...given) : found;
}

// Put words into an element; what stands between backticks is code.
export function write(element, text) {
  const parts = text.split("`").map((part, number) => {
    if (number % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
  element.replaceChildren(...parts);
}

// Put the words on all elements below `root` that name some.
export function speak(root = document) {
  for (const element of root.querySelectorAll("[data-say]")) write(element, say(element.dataset.say));
  for (const element of root.querySelectorAll("[data-say-label]")) {
    element.setAttribute("aria-label", say(element.dataset.sayLabel));
  }
  for (const element of root.querySelectorAll("[data-say-placeholder]")) {
    element.placeholder = say(element.dataset.sayPlaceholder);
  }
}

export function useLanguage(chosen = language) {
  language = chosen;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  speak();
  const button = document.getElementById("language");
  button.textContent = say("other");
  button.lang = language === "zh" ? "en" : "zh-CN";
  document.dispatchEvent(new Event("language"));
}

export function switchLanguage() {
  useLanguage(language === "zh" ? "en" : "zh");
  localStorage.setItem("groundup-language", language);
}
