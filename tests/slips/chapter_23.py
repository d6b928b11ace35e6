"""Usual slips in the exercises of chapter 23: the exercise, an answer, words of the message."""

NO_TRANSLATIONS = "it needs no translations"
LANGUAGE = "it needs the language of each text"
DIFFERENCES = "it keeps the differences between vectors of one language"
SAME = "it gives a text and its translation the same vector"
SLIPS = [
    ("23.1", "19", "fit in whole"),
    ("23.1", "33", "fewer messages fit"),
    ("23.1", "25", "the English number"),
    ("23.1", "512 // 27", "Right"),
    ("23.2", "1024", "B behind B"),
    ("23.2", "32", "How many gaps"),
    ("23.2", "20", "depend on each other"),
    ("23.2", "2 ** 4", "Right"),
    ("23.3", "5", "With the special tokens"),
    ("23.3", "7", "share a piece"),
    ("23.3", "6", "Right"),
    (
        "words_f1",
        """
        def words_f1(true, found):
            w, v = set(true), set(found)
            return 2 * len(w & v) / (len(w) + len(v))
        """,
        "at its place",
    ),
    (
        "words_f1",
        """
        def words_f1(true, found):
            from helpers.data import segmentation

            w, v = segmentation.spans(true), segmentation.spans(found)
            return len(w & v) / len(v)
        """,
        "the precision",
    ),
    (
        "words_f1",
        """
        def words_f1(true, found):
            from helpers.data import segmentation

            w, v = segmentation.spans(true), segmentation.spans(found)
            return len(w & v) / len(w)
        """,
        "the recall",
    ),
    (
        "words_f1",
        """
        def words_f1(true, found):
            from helpers.data import segmentation

            w, v = segmentation.spans(true), segmentation.spans(found)
            return len(w & v) / (len(w) + len(v))
        """,
        "once for each side",
    ),
    (
        "words_f1",
        """
        def words_f1(true, found):
            from helpers.data import segmentation

            w, v = segmentation.spans(true), segmentation.spans(found)
            precision, recall = len(w & v) / len(v), len(w & v) / len(w)
            return 2 * precision * recall / (precision + recall) if w & v else 0.0
        """,
        "Right",
    ),
    ("23.5", f"[{NO_TRANSLATIONS!r}, {LANGUAGE!r}, {DIFFERENCES!r}, {SAME!r}]", "coincide"),
    ("23.5", f"[{NO_TRANSLATIONS!r}, {LANGUAGE!r}]", "move together"),
    ("23.5", f"[{DIFFERENCES!r}, {LANGUAGE!r}, {NO_TRANSLATIONS!r}]", "Right"),
    ("23.6", "0.15", "masked too"),
    ("23.6", "0.1275", "known to be masked"),
    ("23.6", "1 - 0.15", "Right"),
    (
        "new_word_recall",
        """
        def new_word_recall(true, found, known):
            from helpers.data import segmentation

            w = segmentation.spans(true)
            return len(w & segmentation.spans(found)) / len(w)
        """,
        "the known ones are left out",
    ),
    (
        "new_word_recall",
        """
        def new_word_recall(true, found, known):
            from helpers.data import segmentation

            text, w = "".join(true), segmentation.spans(true)
            old = {(start, end) for start, end in w if text[start:end] in known}
            return len(old & segmentation.spans(found)) / len(old)
        """,
        "recall of the known words",
    ),
    (
        "new_word_recall",
        """
        def new_word_recall(true, found, known):
            from helpers.data import segmentation

            text, w = "".join(true), segmentation.spans(true)
            new = {(start, end) for start, end in w if text[start:end] not in known}
            return len(new & segmentation.spans(found)) / len(w)
        """,
        "not by that of all",
    ),
    (
        "new_word_recall",
        """
        def new_word_recall(true, found, known):
            place, hits, total = 0, 0, 0
            ends = set()
            for word in found:
                ends.add((place, place + len(word)))
                place += len(word)
            place = 0
            for word in true:
                if word not in known:
                    total += 1
                    hits += (place, place + len(word)) in ends
                place += len(word)
            return hits / total
        """,
        "Right",
    ),
]
