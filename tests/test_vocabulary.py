"""helpers.data.vocabulary: the tokenizer that is learned is the one chapter 02 builds."""

import unicodedata
from collections import Counter

import pytest
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoTokenizer, BertTokenizer

from helpers.data.corpora import bbc_news
from helpers.data.subwords import train_wordpiece
from helpers.data.vocabulary import (
    SPECIAL_TOKENS,
    as_it_stands,
    count_marks,
    learn_wordpiece,
    leave_prompts_open,
)


@pytest.fixture(scope="module")
def texts():
    return bbc_news()["train"]["body"][:100]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return learn_wordpiece(texts, 1500)


def in_order(tokenizer):
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.get)


def test_the_pieces_are_those_learned_from_scratch(texts, tokenizer):
    pieces = in_order(tokenizer)
    assert pieces[:5] == list(SPECIAL_TOKENS.values())
    assert len(pieces) == 1500
    pattern = pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word
        for text in texts
        for word, _ in pattern.pre_tokenize_str(
            tokenizer.backend_tokenizer.normalizer.normalize_str(text)
        )
    )
    letters = {c for word in words for c in word}
    # Letters that never go on in a word are marked all the same.
    unused = {f"##{c}" for c in letters} & set(pieces)
    unused -= {f"##{c}" for word in words for c in word[1:]}
    expected = train_wordpiece(words, 1500 - 5 - len(unused))
    assert [piece for piece in pieces[5:] if piece not in unused] == expected


def test_the_same_texts_give_the_same_tokenizer(texts, tokenizer):
    for _ in range(2):
        assert in_order(learn_wordpiece(texts, 1500)) == in_order(tokenizer)


def test_it_works_as_berts(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(str(tmp_path))
    ids = again("The Café, said [MASK].", "Yes.")["input_ids"]
    tokens = again.convert_ids_to_tokens(ids)
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert tokens.count("[SEP]") == 2
    assert "[MASK]" in tokens
    assert "the" in tokens
    assert again.decode(again("the cafe said", add_special_tokens=False)["input_ids"]) == (
        "the cafe said"
    )
    assert again("☃", add_special_tokens=False)["input_ids"] == [again.unk_token_id]
    assert (again.pad_token_id, again.mask_token_id) == (0, 4)


def test_case_and_accents_can_be_kept():
    pieces = in_order(learn_wordpiece(["Café Café"], 30, lowercase=False))
    assert "Café" in pieces


CHINESE = "".join(chr(0x4E00 + i) for i in range(2000))  # each a word, so none is marked


def test_an_alphabet_of_thousands_stays_where_there_is_room():
    pieces = in_order(learn_wordpiece([CHINESE, "aa β"], 3000))
    assert set(CHINESE) | {"a", "β", "##a"} <= set(pieces)
    assert not {f"##{letter}" for letter in CHINESE} & set(pieces)


def test_the_rarest_letters_are_left_out_where_there_is_none():
    texts = [CHINESE] * 5 + ["β"]
    pieces = in_order(learn_wordpiece(texts, 2100))
    assert "β" not in pieces
    assert 1990 < len(set(CHINESE) & set(pieces)) <= 2000  # 99.95 % of the text
    with pytest.raises(ValueError, match="vocab_size is 1500"):
        learn_wordpiece(texts, 1500)


@pytest.mark.parametrize(
    "text",
    [
        "अपने में हूँ भर्ती क्‍ष",  # vowels, a virama, a joiner
        "がくせい パン",  # voicing
        "ภาษาไทย กินข้าวที่นี่",  # vowels and tones
        "العَرَبِيَّةُ",
        "می‌خواهم",  # a non-joiner
        "שָׁלוֹם",
        "zoë naïve tiếng việt",
        "이것은",
        "กินข้าวที่นี่" * 30,  # a clause without a space
    ],
)
@pytest.mark.parametrize("lowercase", [True, False])
def test_no_script_is_damaged(text, lowercase):
    text = unicodedata.normalize("NFC", text)
    learned = learn_wordpiece([text] * 20, 300, lowercase=lowercase)
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, text)
        ids = learned(written, add_special_tokens=False)["input_ids"]
        assert learned.unk_token_id not in ids
        assert learned.decode(ids).replace(" ", "") == text.replace(" ", "")
        assert count_marks(written, learned)[1] == 0


def test_lost_marks_are_counted():
    text = "अपने में हूँ भर्ती, café"
    berts = learn_wordpiece([text], 300)
    berts.backend_tokenizer.normalizer = normalizers.BertNormalizer()
    assert count_marks(text, berts) == (8, 7)  # ी is a spacing mark, which BERT leaves
    assert count_marks("plain", berts) == (0, 0)
    berts.backend_tokenizer.normalizer = None
    assert count_marks(text, berts) == (8, 0)


@pytest.mark.parametrize(
    ("texts", "size", "error", "message"),
    [
        ([], 100, ValueError, "texts.*empty"),
        ([" \n", ""], 100, ValueError, "texts.*empty"),
        (["abc"], 10, ValueError, r"vocab_size is 10\b.*\b11\b"),
        ((text for text in ["abc"]), 100, TypeError, "generator.*list"),
    ],
)
def test_bad_input_is_refused(texts, size, error, message):
    with pytest.raises(error, match=message):
        learn_wordpiece(texts, size)


def test_a_prompt_is_left_open_and_read_back_so(tokenizer, tmp_path):
    text = "The Café, said Mr. Blair's minister."
    closed = tokenizer(text)["input_ids"]
    leave_prompts_open(tokenizer, 2, 3).save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(str(tmp_path))
    assert opened(text)["input_ids"] == closed[:-1]
    assert opened("a", "b")["input_ids"] == [2, *tokenizer("a b")["input_ids"][1:-1]]
    assert (opened.bos_token_id, opened.eos_token_id, opened.pad_token_id) == (2, 3, 0)
    assert tokenizer(text)["input_ids"] == closed
    assert tokenizer.bos_token is None


def test_an_open_tokenizer_spells_what_follows_a_prompt(texts, tokenizer):
    """Decoded by itself, a continuation begins with a space unless it goes on in a word."""
    opened = leave_prompts_open(tokenizer, 2, 3)
    whole = tokenizer(texts[0])["input_ids"][1:]
    text = tokenizer.decode(whole, skip_special_tokens=True)
    for cut in range(60):
        parts = [opened.decode(ids, skip_special_tokens=True) for ids in (whole[:cut], whole[cut:])]
        assert "".join(parts) == " " + text
    assert opened.batch_decode([whole], skip_special_tokens=True) == [" " + text]


def test_without_a_start_token_nothing_is_added(tokenizer):
    opened = leave_prompts_open(tokenizer, None, 3)
    assert opened("the")["input_ids"] == tokenizer("the")["input_ids"][1:-1]
    assert opened.bos_token is None


@pytest.fixture
def of_berts_class(tmp_path):
    """A tokenizer whose class makes itself anew when it is loaded."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary).save_pretrained(tmp_path / "bert")
    return AutoTokenizer.from_pretrained(tmp_path / "bert")


def test_what_is_saved_is_what_its_file_says(of_berts_class, tmp_path):
    as_it_stands(of_berts_class).save_pretrained(tmp_path / "plain")
    plain = AutoTokenizer.from_pretrained(tmp_path / "plain")
    assert dict(plain("the cats")) == {"input_ids": [2, 5, 6, 7, 3], "attention_mask": [1] * 5}
    assert plain.special_tokens_map == of_berts_class.special_tokens_map
    assert "token_type_ids" in of_berts_class("the cats")


def test_a_prompt_is_left_open_whatever_the_class(of_berts_class, tmp_path):
    leave_prompts_open(of_berts_class, 2, 3).save_pretrained(tmp_path / "open")
    opened = AutoTokenizer.from_pretrained(tmp_path / "open")
    assert dict(opened("the cats")) == {"input_ids": [2, 5, 6, 7], "attention_mask": [1] * 4}
    assert of_berts_class("the cats")["input_ids"] == [2, 5, 6, 7, 3]
