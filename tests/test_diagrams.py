"""helpers.teaching.diagrams: what is drawn where, and arrows that end where they should."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.teaching import diagrams


@pytest.fixture
def ax():
    mpl.use("Agg")
    yield diagrams.canvas(4, 3)
    plt.close("all")


def test_a_unit_of_the_canvas_is_an_inch(ax):
    figure = ax.figure
    corners = ax.transData.transform([(0, 0), (4, 3)]) / figure.dpi
    np.testing.assert_allclose(corners, [(0, 0), (4, 3)], atol=1e-9)
    assert not ax.axison


def test_a_box_has_its_text_and_its_four_sides(ax):
    drawn = diagrams.box(ax, (2, 1), "norm", size=(1.0, 0.5))
    assert (drawn.top, drawn.bottom) == ((2, 1.25), (2, 0.75))
    assert (drawn.left, drawn.right) == ((1.5, 1), (2.5, 1))
    assert [text.get_text() for text in ax.texts] == ["norm"]
    extent = ax.patches[0].get_path().get_extents()
    np.testing.assert_allclose(extent.extents, (1.5, 0.75, 2.5, 1.25), atol=1e-9)


def test_an_arrow_goes_through_all_points_and_ends_at_the_last(ax):
    diagrams.arrow(ax, (0, 0), (0, 2), (1, 2))
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), [(0, 0), (0, 2)])
    (head,) = ax.texts
    assert (head.xyann, head.xy) == ((0, 2), (1, 2))


def test_an_arrow_needs_two_points(ax):
    with pytest.raises(ValueError, match=r"two points.*\b1\b"):
        diagrams.arrow(ax, (0, 0))


def test_a_grid_fills_hatches_and_writes(ax):
    drawn = diagrams.grid(ax, (1, 2), [[True, False], ["0.5", "0.25"]], rows=["a", "b"])
    assert (*drawn.left, *drawn.right) == pytest.approx((1, 1.6, 1.8, 1.6))
    filled, hidden, *written = ax.patches
    assert filled.get_hatch() is None
    assert hidden.get_hatch() == "///"
    assert filled.get_facecolor() != written[0].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["0.5", "0.25", "a", "b"]
    assert (filled.get_x(), filled.get_y()) == pytest.approx((1, 1.6))  # the first row on top


def test_saving_a_canvas_warns_of_nothing(ax, tmp_path, recwarn):
    diagrams.box(ax, (2, 1), r"$d_k$", colour=None)
    diagrams.label(ax, (1, 1), "left", align="left")
    ax.figure.savefig(tmp_path / "a.png")
    # Libraries deprecate each other's parts; Python shows that to nobody but them.
    shown = [w for w in recwarn.list if not issubclass(w.category, DeprecationWarning)]
    assert not shown


def words_in(ax):
    return [text.get_text() for text in ax.texts]


def test_chapter_01_draws_three_ways_from_a_token_to_the_prediction():
    mpl.use("Agg")
    ax = diagrams.paths_to_prediction(list("abcdef"))
    words = words_in(ax)
    assert (words.count("b"), words.count("next?")) == (3, 3)
    assert [word for word in words if "mathbf" in word] == [
        f"$\\mathbf{{h}}_{i}$" for i in range(1, 7)
    ]
    plt.close("all")


def test_chapter_01_draws_an_lstm_with_its_gates():
    mpl.use("Agg")
    words = words_in(diagrams.lstm_cell())
    assert {"forget", "write", "proposal", "show", "tanh", "+"} <= set(words)
    assert words.count("×") == 3
    plt.close("all")


def test_a_back_off_gives_each_word_its_share_and_hands_the_rest_down():
    mpl.use("Agg")
    levels = [("long", [("a", 0.25)], 0.75), ("short", [("a", 0.25), ("b", 0.5)], 0.0)]
    ax = diagrams.backoff(levels, marked="b")
    drawn = [(patch.get_x(), patch.get_width()) for patch in ax.patches]
    np.testing.assert_allclose(drawn, [(0.3, 1.6), (1.9, 4.8), (1.9, 1.6), (3.5, 3.2)], atol=1e-9)
    assert words_in(ax).count("handed down: 0.750") == 1
    assert [p.get_facecolor()[:3] for p in ax.patches].count(ax.patches[3].get_facecolor()[:3]) == 1
    plt.close("all")


def test_chapter_03_draws_attention_with_the_shapes_of_its_matrices():
    mpl.use("Agg")
    words = words_in(diagrams.attention_flow())
    for name, shape in {"Q": "(T, d_k)", "K": "(S, d_k)", "A": "(T, S)", "Z": "(T, d_v)"}.items():
        assert any(f"mathbf{{{name}}}$" in word and shape in word for word in words)
    plt.close("all")


def test_the_two_towers_compare_each_headline_with_each_body():
    ax = diagrams.two_towers()
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    assert texts.count("encoder") == 6
    assert sum(r"\cdot" in text for text in texts) == 9
    plt.close("all")


def test_the_pull_goes_to_the_own_key_and_the_step_keeps_to_the_circle():
    queries = np.array([[1.0, 0.0], [0.6, 0.8]])
    keys = np.array([[0.8, 0.6], [0.0, 1.0]])
    panels = diagrams.pull_and_push(queries, keys, 1, (1.0, 0.1))
    assert [ax.get_title() for ax in panels] == [r"$\tau = 1.0$", r"$\tau = 0.1$"]
    arrows = [text for text in panels[0].texts if getattr(text, "arrow_patch", None)]
    push, pull, step = (np.subtract(text.xy, text.xyann) for text in arrows)
    assert pull @ (keys[1] - queries[1]) > 0
    assert push @ (keys[0] - queries[1]) < 0
    assert step @ queries[1] == pytest.approx(0, abs=1e-9)
    rest = push + pull - step  # what is left lies along the query
    assert rest == pytest.approx((rest @ queries[1]) * queries[1])
    plt.close("all")


def test_nothing_leads_back_from_the_test_set():
    ax = diagrams.three_sets()
    ends = [tuple(text.xyann) for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert all(x < 5 or y > 1 for x, y in ends)
    plt.close("all")


def shown(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_a_label_stands_below_the_first_piece_of_its_word():
    mpl.use("Agg")
    ax = diagrams.word_labels(
        ["Ada", "wrote"],
        ["[CLS]", "ad", "##a", "wrote"],
        [None, 0, 0, 1],
        [None, "B-PER", None, "O"],
    )
    assert shown(ax)[:2] == ["Ada", "wrote"]
    at = {text.get_text(): text.get_position()[0] for text in ax.texts if text.get_text()}
    assert at["ad"] == at["B-PER"] and at["wrote"] == at["O"]
    assert shown(ax).count("–100") == 2
    plt.close("all")


def test_a_lattice_has_a_box_for_each_word_and_tag_and_two_paths():
    mpl.use("Agg")
    probabilities = [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]]
    ax = diagrams.tag_lattice(["a", "b", "c"], ["O", "B"], probabilities, [[0, 1, 0], [0, 0, 0]])
    assert len(ax.patches) == 6
    assert {"0.90", "0.60", "O", "B", "a", "c"} <= set(shown(ax))
    assert len([text for text in ax.texts if not text.get_text()]) == 4  # two arrows a path
    plt.close("all")


def test_lora_and_the_trained_parts_of_a_layer_are_named():
    mpl.use("Agg")
    assert {"$+$", r"times $\alpha/r$"} <= set(shown(diagrams.lora_layer()))
    parts = shown(diagrams.trained_parts_of_a_layer())
    assert parts.count("adapter") == 2 and parts.count("add and norm") == 2
    plt.close("all")


def test_two_heads_answer_for_each_piece_and_for_the_text():
    mpl.use("Agg")
    ax = diagrams.two_heads(["[CLS]", "ada", "[SEP]"], ["", "B-PER", ""], "positive")
    assert shown(ax).count("–") == 2
    assert {"B-PER", "mean of the vectors, head: positive"} <= set(shown(ax))
    plt.close("all")
    plt.close("all")


@pytest.mark.parametrize(
    ("draw", "texts"),
    [
        (diagrams.normalised_axes, ["batch norm", "layer norm", "sentences, B"]),
        (diagrams.transformer_blocks, ["post-norm", "pre-norm", "self-attention"]),
        (
            diagrams.encoder_decoder,
            ["cross-attention", "memory, (B, S, d)"],
        ),
        (diagrams.multi_head_attention, ["2 attend", "concatenate\n(T, d)", "head h\n(T, $d_k$)"]),
        (diagrams.bert, ["+, layer norm", "pooler_output  (B, d)"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_schematic_figure_names_its_parts_and_keeps_within_its_frame(ax, draw, texts):
    drawn = draw()
    assert set(texts) <= {text.get_text() for text in drawn.texts}
    figure = drawn.figure
    figure.canvas.draw()
    frame = figure.bbox
    for text in drawn.texts:
        box = text.get_window_extent()
        if text.get_text():
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1, text.get_text()
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1, text.get_text()


def test_batch_norm_fills_a_column_of_each_sentence_and_layer_norm_one_row(ax):
    drawn = diagrams.normalised_axes((3, 4, 5))
    fill = diagrams.FILLS[0]
    filled = [p for p in drawn.patches if mpl.colors.same_color(p.get_facecolor(), fill)]
    left = [p for p in filled if p.get_x() < 3.5]
    assert (len(left), len(filled) - len(left)) == (3 * 4, 5)
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_a_draw_of_the_masking_has_labels_where_pieces_are_chosen():
    ax = diagrams.masked_draw(["the", "dog", "sat"], ["the", "[MASK]", "ran"], [False, True, True])
    assert texts(ax) == [
        *("the", "the", "–100"),
        *("dog", "[MASK]", "dog"),
        *("sat", "ran", "sat"),
        *("text", "seen", "label"),
    ]
    chosen = [patch.get_facecolor() for patch in ax.patches[1::2]]
    assert chosen[1] == chosen[2] != chosen[0]
    plt.close("all")


def test_in_writing_each_output_leads_to_the_next_input():
    words = list("abcdefg")
    ax = diagrams.teacher_forcing(words[:6], words[1:])
    assert [texts(ax).count(word) for word in words] == [2, 4, 4, 4, 4, 4, 2]
    orange = [line for line in ax.lines if line.get_color() == diagrams.PALETTE[1]]
    assert len(orange) == 5  # from each output but the last
    plt.close("all")


def test_two_residual_paths_lead_around_each_block():
    ax = diagrams.bert_and_gpt_blocks()
    assert texts(ax).count("+") == 4
    assert texts(ax).count("norm") == 4
    plt.close("all")


def test_each_query_head_reads_the_head_of_its_group():
    ax = diagrams.grouped_heads(6, [("all", 6, ""), ("some", 2, ""), ("one", 1, "")])
    assert len(ax.patches) == (6 + 6) + (6 + 2) + (6 + 1)
    starts = [round(text.xyann[0], 6) for text in ax.texts if hasattr(text, "xyann")]
    assert [len(set(starts[i : i + 6])) for i in (0, 6, 12)] == [6, 2, 1]
    plt.close("all")
