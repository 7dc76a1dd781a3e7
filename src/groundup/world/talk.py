"""Small talk: what a newcomer may say first, with an answer for it."""

from random import Random

TALK = {
    "en": (
        (("Hello!", "Hello", "Hi!", "Hi", "Good morning!", "Hey!"),
         ("Hello! Tell me a story and ask me about it.",
          "Hi! Tell me who is where, and ask me.")),
        (("How are you?", "How are you today?"), ("I am fine, thank you.",)),
        (("Who are you?", "What are you?", "What is your name?"),
         ("I am a small language model. I know a little world of people, places and things.",)),
        (("What can you do?", "Help", "What do you know?"),
         ("I can answer questions about a story, add numbers, find opposites and translate words.",)),
        (("Thank you!", "Thanks!", "Thanks"), ("You are welcome.",)),
        (("Goodbye!", "Bye!", "See you!"), ("Goodbye!",)),
    ),
    "zh": (
        (("你好！", "你好", "您好！", "早上好！", "嗨！"),
         ("你好！给我讲一个故事，再问我问题吧。", "你好！告诉我谁在哪里，然后问我。")),
        (("你好吗？", "你今天好吗？"), ("我很好，谢谢。",)),
        (("你是谁？", "你是什么？", "你叫什么名字？"),
         ("我是一个小小的语言模型。我知道一个有人、有地方、有东西的小世界。",)),
        (("你会什么？", "帮助", "你知道什么？"),
         ("我能回答故事里的问题，会加减法，会说反义词，也会翻译词语。",)),
        (("谢谢！", "谢谢", "多谢！"), ("不客气。",)),
        (("再见！", "拜拜！"), ("再见！",)),
    ),
}  # fmt: skip


def small_talk(rng: Random, language: str) -> tuple[str, str]:
    """Something that somebody says, and an answer."""
    said, answers = rng.choice(TALK[language])
    return rng.choice(said), rng.choice(answers)
