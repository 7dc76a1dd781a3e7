"""The lexicon: each word of the world once, with its English and its Chinese form.

Words are compared by identity: `PEOPLE[0]` is one person, whichever language speaks of her.
"""

from dataclasses import dataclass

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, eq=False, slots=True)
class Word:
    """A word in both languages; its English form is also its name in the held-out table."""

    en: str
    zh: str

    def in_language(self, language: str) -> str:
        """The form in "en" or "zh"."""
        return self.en if language == "en" else self.zh


@dataclass(frozen=True, eq=False, slots=True)
class Person(Word):
    """Somebody who can be somewhere and hold something."""

    female: bool


@dataclass(frozen=True, eq=False, slots=True)
class Thing(Word):
    """Something to hold, with the measure word that Chinese counts it by (一本书, 一把刀)."""

    measure: str


@dataclass(frozen=True, eq=False, slots=True)
class Look(Word):
    """What a thing looks like: its colour, size or age."""

    is_colour: bool


def _table(text: str) -> list[list[str]]:
    """Rows separated by commas, columns by spaces."""
    return [row.split() for row in text.split(",")]


def _pair_up(text: str) -> list[tuple[Word, Word]]:
    return [(Word(a, x), Word(b, y)) for a, x, b, y in _table(text)]


WOMEN = """
    Mia 小美, Anna 小红, Lily 小丽, Emma 小芳, Lucy 小雨, Nora 小雪, Ella 小梅, Ruby 小兰,
    Sara 小燕, Kate 小云, Rosa 小玉, Jane 小菊, Alice 小娟, Grace 阿香, Helen 阿莲, Julia 阿珍,
    Mary 美玲, Olga 秀英, Tina 淑芬, Vera 雅琴, Zoe 海燕, Clara 春花, Diana 晓霞, Eva 玉兰"""
MEN = """
    Tom 小明, Ben 小刚, Max 小华, Sam 小军, Leo 小强, Jack 小龙, Paul 小虎, Adam 小杰,
    Noah 小东, Hugo 小波, Oscar 小勇, Peter 小伟, Simon 阿福, David 阿宝, Frank 阿贵, Henry 阿亮,
    Ivan 建国, John 志强, Karl 大伟, Luke 文斌, Mark 永康, Oliver 国庆, Robert 思远, Victor 子安"""
PEOPLE = tuple(
    Person(en, zh, female)
    for names, female in ((WOMEN, True), (MEN, False))
    for en, zh in _table(names)
)

THINGS = tuple(
    Thing(en, zh, measure)
    for en, zh, measure in _table("""
    ball 球 个, book 书 本, cup 杯子 个, hat 帽子 顶, kite 风筝 只, lamp 灯 盏, box 箱子 个,
    key 钥匙 把, bag 包 个, bell 铃铛 个, brush 刷子 把, coat 外套 件, coin 硬币 枚, doll 娃娃 个,
    drum 鼓 面, flag 旗子 面, flower 花 朵, fork 叉子 把, glass 玻璃杯 个, knife 刀 把,
    letter 信 封, map 地图 张, mirror 镜子 面, pen 钢笔 支, pencil 铅笔 支, phone 电话 部,
    pillow 枕头 个, plate 盘子 个, ring 戒指 枚, rope 绳子 根, shirt 衬衫 件, spoon 勺子 把,
    stick 棍子 根, stone 石头 块, ticket 票 张, towel 毛巾 条, toy 玩具 个, vase 花瓶 个,
    watch 手表 块, whistle 哨子 个, basket 篮子 个, blanket 毯子 条, bottle 瓶子 个,
    candle 蜡烛 根, clock 钟 个, ribbon 丝带 条, scarf 围巾 条, umbrella 雨伞 把""")
)

PLACES = tuple(
    Word(en, zh)
    for en, zh in _table("""
    garden 花园, kitchen 厨房, park 公园, school 学校, library 图书馆, forest 森林, village 村子,
    hall 大厅, attic 阁楼, barn 谷仓, field 田野, shop 商店, market 市场, station 车站,
    museum 博物馆, castle 城堡, cave 山洞, tower 塔楼, office 办公室, bathroom 浴室, bedroom 卧室,
    garage 车库, bakery 面包店, zoo 动物园, theatre 剧院, temple 寺庙, hospital 医院, bank 银行,
    hotel 旅馆, factory 工厂, cellar 地窖, yard 院子""")
)

COLOURS = tuple(
    Look(en, zh, True)
    for en, zh in _table("""
    red 红色, blue 蓝色, green 绿色, yellow 黄色, black 黑色, white 白色, brown 棕色, pink 粉色,
    grey 灰色, orange 橙色, purple 紫色, golden 金色""")
)
LOOKS = COLOURS + tuple(
    Look(en, zh, False)
    for en, zh in _table("big 大, small 小, new 新, old 旧, heavy 重, clean 干净")
)

ANIMALS_BY_SIZE = tuple(
    Word(en, zh)
    for en, zh in _table("""
    ant 蚂蚁, bee 蜜蜂, snail 蜗牛, frog 青蛙, mouse 老鼠, bird 小鸟, duck 鸭子, rabbit 兔子, cat 猫,
    fox 狐狸, dog 狗, sheep 羊, wolf 狼, pig 猪, lion 狮子, horse 马, bear 熊, cow 牛, camel 骆驼,
    elephant 大象, whale 鲸鱼""")
)

DAYS = tuple(
    Word(en, zh)
    for en, zh in _table("""
    Monday 星期一, Tuesday 星期二, Wednesday 星期三, Thursday 星期四, Friday 星期五,
    Saturday 星期六, Sunday 星期天""")
)
MONTHS = tuple(
    Word(en, zh)
    for en, zh in _table("""
    January 一月, February 二月, March 三月, April 四月, May 五月, June 六月, July 七月,
    August 八月, September 九月, October 十月, November 十一月, December 十二月""")
)

OPPOSITES = tuple(
    _pair_up("""
    hot 热 cold 冷, big 大 small 小, long 长 short 短, high 高 low 低, new 新 old 旧, fast 快 slow 慢,
    good 好 bad 坏, wet 湿 dry 干, full 满 empty 空, hard 硬 soft 软, heavy 重 light 轻,
    bright 亮 dark 暗, thick 厚 thin 薄, wide 宽 narrow 窄, deep 深 shallow 浅, early 早 late 晚,
    rich 富 poor 穷, strong 强 weak 弱, clean 干净 dirty 脏, happy 高兴 sad 难过,
    open 开 closed 关, right 对 wrong 错, near 近 far 远, up 上 down 下,
    inside 里面 outside 外面, before 之前 after 之后, day 白天 night 黑夜, summer 夏天 winter 冬天,
    start 开始 end 结束, question 问题 answer 回答, brave 勇敢 afraid 害怕, quiet 安静 loud 吵闹,
    easy 容易 difficult 困难, safe 安全 dangerous 危险, first 最先 last 最后, true 真 false 假,
    always 总是 never 从不, sweet 甜 bitter 苦""")
)

# Words for copying and translating: everything with a name, but not the people.
NOUNS = THINGS + PLACES + ANIMALS_BY_SIZE

# Everything with a name.
VOCABULARY = (
    *PEOPLE, *NOUNS, *LOOKS, *DAYS, *MONTHS, *(word for pair in OPPOSITES for word in pair)
)  # fmt: skip
