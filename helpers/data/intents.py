"""Commands to a house, sampled from the sentence grammars of Home Assistant's voice assistant.

A grammar is a list of templates such as `<turn> on [<the>] {area} (light|lights)`: `<turn>` is a
rule with words of its own, `[…]` may be left out, `(a|b)` is one of them, `(a;b)` both in either
order, and `{area}` a slot with a list of values. The package lists no rooms and devices, which each
house has its own of: those values are this module's.
"""

import hashlib
import json
import random
from functools import cache
from pathlib import Path

from datasets import Dataset, DatasetDict

from helpers.data import assets

__all__ = ["LANGUAGES", "home_commands", "intent_names", "parse", "sample"]

LANGUAGES = ("en", "de", "fr", "zh-CN")
PARTS = ("train", "validation", "test")
# Values of the slots that are each house's own: the first half for training, then a quarter for
# validation, and a quarter for the test, so that no name of the test was seen.
VALUES = {
    "en": {
        "area": "kitchen, bedroom, garage, office, hallway, bathroom, attic, guest room, "
        "living room, cellar, nursery, dining room",
        "name": "ceiling fan, desk lamp, front door, coffee machine, heater, speaker, "
        "garden gate, floor lamp, air purifier, television, bedside light, dishwasher",
        "floor": "ground floor, first floor, upstairs, basement, second floor, top floor, "
        "downstairs, third floor",
        "item": "milk, bread, apples, soap, olive oil, batteries, rice, toothpaste, eggs, "
        "light bulbs, coffee, washing powder",
        "timer_name": "pizza, laundry, tea, homework, pasta, workout, bread, nap, eggs, meeting, "
        "cake, parking",
    },
    "de": {
        "area": "Küche, Schlafzimmer, Garage, Büro, Flur, Bad, Dachboden, Gästezimmer, "
        "Wohnzimmer, Keller, Kinderzimmer, Esszimmer",
        "name": "Deckenventilator, Schreibtischlampe, Haustür, Kaffeemaschine, Heizung, "
        "Lautsprecher, Gartentor, Stehlampe, Luftreiniger, Fernseher, Nachttischlampe, "
        "Spülmaschine",
        "floor": "Erdgeschoss, Keller, Dachgeschoss, Obergeschoss, Untergeschoss, erster Stock, "
        "zweiter Stock, dritter Stock",
        "item": "Milch, Brot, Äpfel, Seife, Olivenöl, Batterien, Reis, Zahnpasta, Eier, "
        "Glühbirnen, Kaffee, Waschpulver",
        "timer_name": "Pizza, Wäsche, Tee, Hausaufgaben, Nudeln, Training, Brot, Nickerchen, "
        "Eier, Besprechung, Kuchen, Parken",
    },
    "fr": {
        "area": "cuisine, chambre, garage, bureau, couloir, salle de bain, grenier, "
        "chambre d'amis, salon, cave, chambre des enfants, salle à manger",
        "name": "ventilateur, lampe de bureau, porte d'entrée, machine à café, chauffage, "
        "enceinte, portail du jardin, lampadaire, purificateur d'air, téléviseur, "
        "lampe de chevet, lave-vaisselle",
        "floor": "rez-de-chaussée, premier étage, sous-sol, dernier étage, deuxième étage, "
        "étage, combles, troisième étage",
        "item": "lait, pain, pommes, savon, huile d'olive, piles, riz, dentifrice, œufs, "
        "ampoules, café, lessive",
        "timer_name": "pizza, linge, thé, devoirs, pâtes, sport, pain, sieste, œufs, réunion, "
        "gâteau, parking",
    },
    "zh-CN": {
        "area": "厨房, 卧室, 车库, 书房, 走廊, 浴室, 阁楼, 客房, 客厅, 地下室, 儿童房, 餐厅",
        "name": "吊扇, 台灯, 前门, 咖啡机, 暖气, 音箱, 花园门, 落地灯, "
        "空气净化器, 电视, 床头灯, 洗碗机",
        "floor": "一楼, 二楼, 楼上, 地下一层, 三楼, 顶楼, 楼下, 四楼",
        "item": "牛奶, 面包, 苹果, 肥皂, 橄榄油, 电池, 大米, 牙膏, 鸡蛋, 灯泡, 咖啡, 洗衣粉",
        "timer_name": "披萨, 洗衣, 泡茶, 作业, 面条, 健身, 烤面包, 午睡, 煮蛋, 会议, 蛋糕, 停车",
    },
}
ITEMS = ("shopping_list_item", "todo_list_item")  # both take the values of `item`
FEWEST = 4  # templates of an intent, in each language
Node = tuple


def parse(template: str) -> Node:
    """A template as a tree: ("text", words), ("list", name, slot), ("rule", name), or a sequence
    ("seq", …), a choice ("alt", …) or a permutation ("perm", …) of trees.

    Raises:
        ValueError: a bracket isn't closed, or closed twice; the message shows the template.
    """
    node, end = _choice(template, 0, "")
    if end < len(template):
        raise ValueError(f"{template!r}: {template[end]!r} at {end} closes nothing.")
    return node


def _choice(text: str, at: int, closing: str) -> tuple[Node, int]:
    """What stands up to a bracket that closes: sequences divided by | or by ;."""
    parts, marks, parts_now = [], set(), []
    while at < len(text) and text[at] not in ")]":
        if text[at] in "|;":
            marks.add(text[at])
            parts.append(("seq", *parts_now))
            parts_now, at = [], at + 1
        elif text[at] in "([":
            closes = ")" if text[at] == "(" else "]"
            inner, end = _choice(text, at + 1, closes)
            parts_now.append(inner if closes == ")" else ("alt", inner, ("seq",)))
            at = end + 1
        elif text[at] in "<{":
            end = text.find(">" if text[at] == "<" else "}", at)
            if end < 0:
                raise ValueError(f"{text!r}: {text[at]!r} at {at} isn't closed.")
            name, _, slot = text[at + 1 : end].partition(":")
            parts_now.append(("rule", name) if text[at] == "<" else ("list", name, slot or name))
            at = end + 1
        else:
            end = next((i for i in range(at, len(text)) if text[i] in "|;([<{)]"), len(text))
            parts_now.append(("text", text[at:end]))
            at = end
    if closing and text[at : at + 1] != closing:
        raise ValueError(f"{text!r}: a {closing!r} is missing.")
    parts.append(("seq", *parts_now))
    if len(parts) == 1:
        return parts[0], at
    return ("perm" if marks == {";"} else "alt", *parts), at


class _NoValueError(LookupError):
    """A list has no values here: the template asks for free text."""


def sample(node: Node, grammar: dict, values: dict, generator: random.Random) -> list[tuple]:
    """One sentence of a template, in pieces: each with the slot it fills, "" for none.

    Args:
        node: what `parse` gave.
        grammar: "expansion_rules" (name: template) and "lists" of a language.
        values: of the lists that the grammar doesn't have, by name.
        generator: draws.

    Raises:
        LookupError: a list has values neither in the grammar nor in `values`.
    """

    def draw(node: Node) -> list[tuple]:
        kind, *rest = node
        match kind:
            case "text":
                return [(rest[0], "")]
            case "seq":
                return [piece for part in rest for piece in draw(part)]
            case "alt":
                return draw(generator.choice(rest))
            case "perm":
                order = generator.sample(rest, len(rest))
                return [piece for part in order for piece in [(" ", ""), *draw(part), (" ", "")]]
            case "rule":
                return draw(_parsed(grammar["expansion_rules"][rest[0]]))
            case _:
                name, slot = rest
                return [(_value(name, grammar, values, generator), slot)]

    return draw(node)


_parsed = cache(parse)


def _value(name: str, grammar: dict, values: dict, generator: random.Random) -> str:
    if name in values:
        return generator.choice(values[name])
    entry = grammar["lists"].get(name, {})
    if "range" in entry:
        limits = entry["range"]
        return str(generator.randrange(limits["from"], limits["to"] + 1, limits.get("step", 1)))
    if not entry.get("values"):
        raise _NoValueError(name)
    value = generator.choice(entry["values"])
    pieces = sample(
        _parsed(value["in"] if isinstance(value, dict) else value), grammar, {}, generator
    )
    return " ".join("".join(text for text, _ in pieces).split())


def _join(pieces: list[tuple]) -> tuple[str, list[dict]]:
    """Pieces as a text with single spaces, and its slots by their characters."""
    text, slots = "", []
    for piece, slot in pieces:
        for place, character in enumerate(piece):
            if character.isspace():
                if text and text[-1] != " ":
                    text += " "
                continue
            if slot and place == 0:
                slots.append({"name": slot, "start": len(text), "end": 0})
            text += character
        if slot and piece:
            slots[-1]["end"] = len(text)
    return text.rstrip(), slots


@cache
def _grammar(language: str) -> dict:
    if language not in LANGUAGES:
        raise ValueError(f"No grammar for {language!r}; expected one of {', '.join(LANGUAGES)}.")
    file = Path(assets.path("home-commands"), "data", f"{language}.json")
    return json.loads(file.read_text("utf-8"))


@cache
def _templates(language: str) -> dict[str, list[str]]:
    """For each intent its templates that can be filled, in the order of their digests."""
    grammar, found = _grammar(language), {}
    generator = random.Random(0)
    for intent, blocks in grammar["intents"].items():
        kept = set()
        for template in {s for block in blocks["data"] for s in block["sentences"]}:
            try:
                for _ in range(20):
                    sample(_parsed(template), grammar, _values(language, "train"), generator)
            except _NoValueError:
                continue
            kept.add(template)
        found[intent] = sorted(kept, key=lambda t: hashlib.sha256(t.encode()).hexdigest())
    return found


@cache
def _values(language: str, part: str) -> dict[str, list[str]]:
    own = {}
    for name, listed in VALUES[language].items():
        whole = listed.split(", ")
        half, rest = len(whole) // 2, (3 * len(whole)) // 4
        bounds = {"train": (0, half), "validation": (half, rest), "test": (rest, len(whole))}
        own[name] = whole[slice(*bounds[part])]
    return own | dict.fromkeys(ITEMS, own["item"])


def intent_names() -> list[str]:
    """The intents that have four templates or more in each language, in alphabetical order."""
    each = [
        {intent for intent, found in _templates(language).items() if len(found) >= FEWEST}
        for language in LANGUAGES
    ]
    return sorted(set.intersection(*each))


def home_commands(language: str = "en", per_intent: int = 40, seed: int = 0) -> DatasetDict:
    """Commands with their intent and slots, sampled from templates.

    No template is in two splits, and the names of rooms, devices and things in validation and test
    aren't those of training. A fifth of an intent's templates, one at least, are for the test, and
    a tenth, one at least, for validation. No text stands twice.

    Licence: Apache-2.0, the grammars of Home Assistant.

    Args:
        language: one of LANGUAGES.
        per_intent: training commands of an intent, at most; validation and test have a quarter.
        seed: of the draws.

    Returns:
        Columns `text`, `intent` (str), `slots` (list of {"name", "start", "end"}, characters) and
        `template` (str).

    Raises:
        AssetError: the grammars are not cached whole and cannot be fetched.
        ValueError: no grammar for the language.
    """
    grammar, templates = _grammar(language), _templates(language)
    rows: dict[str, list[dict]] = {part: [] for part in PARTS}
    seen: set[str] = set()
    for part in PARTS:
        for intent in intent_names():
            generator = random.Random(f"{seed} {language} {part} {intent}")
            chosen = _of_part(templates[intent], part)
            wanted = per_intent if part == "train" else max(1, per_intent // 4)
            for template in (generator.sample(chosen, len(chosen)) * wanted)[:wanted]:
                pieces = sample(_parsed(template), grammar, _values(language, part), generator)
                text, slots = _join(pieces)
                if text.lower() not in seen:
                    seen.add(text.lower())
                    row = {"text": text, "intent": intent, "slots": slots, "template": template}
                    rows[part].append(row)
    return DatasetDict({part: Dataset.from_list(rows[part]) for part in PARTS})


def _of_part(templates: list[str], part: str) -> list[str]:
    test, validation = max(1, len(templates) // 5), max(1, len(templates) // 10)
    bounds = {"test": (0, test), "validation": (test, test + validation)}
    return templates[slice(*bounds.get(part, (test + validation, None)))]
