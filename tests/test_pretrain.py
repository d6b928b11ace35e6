"""helpers.pretrain from text to a model that transformers loads; killed; stopped; on two."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    ByT5Tokenizer,
    pipeline,
)

from helpers.data.blocks import Blocks
from helpers.data.documents import is_held_out
from helpers.models.modernbert import ModernBert
from helpers.pretrain import PretrainingConfig, main
from helpers.training import checkpoints
from helpers.training import pretrain as old_place
from tests.forked import fork
from tests.pretraining_process import signalling
from tests.test_blocks import tokenizer_of

TINY = {
    "vocab-size": 90,
    "block-size": 16,
    "d-model": 16,
    "layers": 2,
    "heads": 2,
    "batch-size": 4,
    "steps": 12,
    "checkpoint-every": 4,
    "evaluate-every": 5,
    "validation-share": 0.2,
    "precision": "fp32",
    "learning-rate": 0.01,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A file of 80 short paragraphs of made-up words."""
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcdefgh"), 3)) for _ in range(40)]
    paragraphs = [" ".join(draw.choice(words, draw.integers(3, 25))) + "." for _ in range(80)]
    file = tmp_path_factory.mktemp("text") / "words.txt"
    file.write_text("\n\n".join(paragraphs))
    return file


def arguments(output, text, objective="mlm", **options):
    given = TINY | {name.replace("_", "-"): value for name, value in options.items()}
    flags = [f"--{name}={value}" for name, value in given.items() if value is not None]
    source = ["--text", str(text), "--text-split", "paragraph"] if text else []
    return ["--objective", objective, "--output", str(output), *flags, *source]


def launch(given, folder, *, at=0, signal="SIGKILL", processes=1):
    """Run it in one process or two of its own; returns the exit code."""
    arguments = [str(at), signal, *given]
    program = fork(
        "pretraining_process", arguments, errors=folder / "errors.txt", processes=processes
    )
    code, errors = program.wait()
    print(errors[-3000:])
    return code


def launch_anew(given, *, at, signal):
    """Run it as a reader would, by a command line that starts Python."""
    command = [sys.executable, "-m", "tests.pretraining_process", str(at), signal, *given]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    print(done.stdout[-2000:], done.stderr[-3000:])
    return done


def main_on_one_thread(given):
    """As in the processes it is compared with: the order of a sum decides its last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return main(given)
    finally:
        torch.set_num_threads(threads)


def result(output):
    """What must not depend on interruptions: losses, evaluations and weights."""
    history = json.loads((output / "history.json").read_text())
    losses = [(r["step"], r["loss"], r["lr"], r["grad_norm"]) for r in history["records"]]
    return losses, history["evaluations"], load_file(output / "model" / "model.safetensors")


def assert_same(one, other):
    assert one[:2] == other[:2]
    assert one[2].keys() == other[2].keys()
    for name, weight in one[2].items():
        assert torch.equal(weight, other[2][name]), name


@pytest.fixture(scope="module", params=["mlm", "clm"])
def finished(request, text, tmp_path_factory):
    output = tmp_path_factory.mktemp(request.param) / "run"
    assert main_on_one_thread(arguments(output, text, request.param)) == 0
    return request.param, output


def test_transformers_loads_the_model_and_agrees(finished):
    objective, output = finished
    auto = {"mlm": AutoModelForMaskedLM, "clm": AutoModelForCausalLM}[objective]
    theirs = auto.from_pretrained(output / "model").eval()
    ours = ModernBert.from_pretrained(output / "model")
    ids = torch.from_numpy(Blocks(output / "blocks" / "validation.npy")[0]["input_ids"])[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(output / "model")
    assert tokenizer.model_max_length == 16
    config = theirs.config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (2, 3, 0)
    if objective == "mlm":
        guesses = pipeline("fill-mask", model=theirs, tokenizer=tokenizer)("abc [MASK] def.")
        assert len(guesses) == 5


def test_it_learns_and_says_so(finished, text):
    objective, output = finished
    losses, evaluations, _ = result(output)
    assert [step for step, *_ in losses] == list(range(1, 13))
    assert [e["step"] for e in evaluations] == [5, 10, 12]
    assert evaluations[-1]["loss"] < losses[0][1] - 0.3  # untrained: ln 90 = 4.5
    assert evaluations[-1]["perplexity"] == pytest.approx(math.exp(evaluations[-1]["loss"]))
    card = ModelCard.load(output / "model" / "README.md")
    tasks = {"mlm": "fill-mask", "clm": "text-generation"}
    assert card.data.pipeline_tag == tasks[objective]
    for part in (
        f"{evaluations[-1]['loss']:.4f} nats",
        f"perplexity of {evaluations[-1]['perplexity']:.2f}",
        "words.txt",
        "| learning_rate | 0.01 |",
        f"| torch | {torch.__version__} |",
    ):
        assert part in card.text
    assert str(text.parent) not in card.content
    assert str(output.parent) not in card.content


def test_held_out_documents_are_not_trained_on_and_started_again_it_is_done(finished, text):
    objective, output = finished
    tokenizer = AutoTokenizer.from_pretrained(output / "tokenizer")
    sides = {
        split: tokenizer.decode(np.load(output / "blocks" / f"{split}.npy").flatten())
        for split in ("train", "validation")
    }
    sides = {k: v.replace("[CLS] ", "").replace(" [SEP]", "") for k, v in sides.items()}
    starts = [p[:12] for p in text.read_text().split("\n\n") if len(p) > 30]
    on = {k: {s for s in starts if s in v.replace(" .", ".")} for k, v in sides.items()}
    assert on["validation"]
    assert not on["train"] & on["validation"]
    before = result(output)
    # What changes no number may be changed; the text may have moved.
    moved = output.parent / "moved"
    moved.mkdir()
    (moved / text.name).write_bytes(text.read_bytes())
    given = arguments(output, moved / text.name, objective, checkpoint_every=7, num_workers=1)
    assert main(given) == 0
    assert_same(result(output), before)


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
def test_a_killed_run_goes_on_bit_for_bit(finished, text, tmp_path):
    _, output = finished
    given = arguments(tmp_path / "run", text)
    assert launch(given, tmp_path, at=7) != 0  # after the checkpoint of 4
    assert not (tmp_path / "run" / "history.json").exists()
    assert checkpoints.latest(tmp_path / "run" / "checkpoints").name == "step-00000004"
    assert main_on_one_thread(given) == 0
    assert_same(result(tmp_path / "run"), result(output))
    assert log(tmp_path / "run") == log(output)


def log(output):
    """What a plot can follow, without the speed."""
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in lines]


def test_the_course_of_the_run_stands_in_a_file(finished):
    _, output = finished
    losses, evaluations, _ = result(output)
    lines = log(output)
    assert [(r["step"], r["loss"], r["lr"], r["grad_norm"]) for r in lines if "loss" in r] == losses
    measured = [{"step": e["step"], "loss": e["loss"]} for e in evaluations]
    found = [line for line in lines if "loss" not in line]
    assert [{"step": e["step"], "loss": e["validation_loss"]} for e in found] == measured


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
@pytest.mark.parametrize("is_a_process_of_its_own", [True, False])
def test_a_stopped_run_says_goodbye_and_goes_on_bit_for_bit(
    finished, text, tmp_path, capfd, is_a_process_of_its_own
):
    given = arguments(tmp_path / "run", text, num_workers=2)
    if is_a_process_of_its_own:
        stopped = launch_anew(given, at=6, signal="SIGINT")
        assert stopped.returncode == 130
        said = stopped.stderr
    else:
        with signalling(6, "SIGTERM"):
            assert main_on_one_thread(given) == 143
        said = capfd.readouterr().err
    assert "Traceback" not in said
    assert checkpoints.latest(tmp_path / "run" / "checkpoints").name == "step-00000006"
    command = shlex.split(said.splitlines()[-1])
    assert command[1:3] == ["-m", "helpers.pretrain"]
    assert command[3:] == given
    assert main_on_one_thread(command[3:]) == 0
    assert_same(result(tmp_path / "run"), result(finished[1]))


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
def test_a_stop_before_training_says_goodbye_too(finished, text, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("helpers.pretrain.learn_wordpiece", interrupted)
    assert main(arguments(tmp_path / "run", text)) == 143
    said = capsys.readouterr().err
    assert "before the first update" in said
    assert str(tmp_path / "run") in said.splitlines()[-1]


def test_two_processes_stop_at_the_same_update(text, tmp_path):
    given = arguments(tmp_path / "run", text, checkpoint_every=1000)
    launch(given, tmp_path, at=3, signal="SIGINT", processes=2)
    assert checkpoints.latest(tmp_path / "run" / "checkpoints").name == "step-00000010"


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
def test_a_finished_run_can_be_made_longer_but_not_shorter(finished, text, tmp_path, capsys):
    _, output = finished
    run = tmp_path / "run"
    shutil.copytree(output, run)
    assert main(arguments(run, text)) == 0
    assert "goes on to" not in capsys.readouterr().out  # it is as long as it was
    assert main(arguments(run, text, steps=16)) == 0
    assert "12 updates goes on to 16" in capsys.readouterr().out
    losses, evaluations, _ = result(run)
    assert losses[:12] == result(output)[0]
    assert [step for step, *_ in losses] == list(range(1, 17))
    # From update 13 on, the rate is that of the longer schedule: warm-up of 1, then to 0 at 16.
    assert losses[12][2] == pytest.approx(0.01 * 4 / 16, rel=0.15)
    assert evaluations[-1]["step"] == 16
    before = result(run)
    assert main(arguments(run, text, steps=14)) == 1
    assert "steps: 16 there, 14 now" in capsys.readouterr().err
    assert_same(result(run), before)


def test_a_model_that_is_there_is_trained_further(finished, text, tmp_path, capsys):
    objective, output = finished
    model = output / "model"
    run = tmp_path / "run"
    source = ["--text", str(text), "--text-split", "paragraph", "--validation-share", "0.2"]
    given = ["--objective", objective, "--output", str(run), "--from", str(model), *source]
    given += ["--steps", "6", "--block-size", "16", "--batch-size", "4", "--precision", "fp32"]
    assert main(given) == 0
    assert not (run / "tokenizer").exists()  # it has its own
    first = json.loads((run / "history.json").read_text())["records"][0]
    last = result(output)[0][-1]
    assert first["loss"] < result(output)[0][0][1] - 0.1  # it doesn't begin anew
    assert abs(first["loss"] - last[1]) < 0.6
    theirs = AutoTokenizer.from_pretrained(run / "model")
    assert theirs.get_vocab() == AutoTokenizer.from_pretrained(model).get_vocab()
    task = {"mlm": "fill-mask", "clm": "text-generation"}[objective]
    assert pipeline(task, str(run / "model"))("abc [MASK] def.")
    assert "goes on" in (run / "model" / "README.md").read_text()
    assert str(tmp_path) not in (run / "model" / "README.md").read_text()
    capsys.readouterr()
    # A masked model can't be taken for a causal one, nor the other way round.
    other = {"mlm": "clm", "clm": "mlm"}[objective]
    given[1], given[3] = other, str(tmp_path / "other")
    assert main(given) == 1
    assert str(model) in capsys.readouterr().err
    assert not (tmp_path / "other" / "blocks").exists()
    given[1] = objective
    for options, named in ((["--d-model", "32"], "d_model"), (["--block-size", "4096"], "4096")):
        assert main([*given, *options]) == 1
        assert named in capsys.readouterr().err


@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_a_bert_is_no_decoder_and_gets_a_new_head(tmp_path, text, objective, capsys):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *"abcdefgh"]
    pieces += [f"##{letter}" for letter in "abcdefgh"]
    BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(tmp_path)
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = BertModel(BertConfig(vocab_size=len(pieces), hidden_size=16, **sizes))
    bert.save_pretrained(tmp_path)
    given = ["--objective", objective, "--output", str(tmp_path / "run"), "--from", str(tmp_path)]
    given += ["--text", str(text), "--steps", "2", "--block-size", "16", "--precision", "fp32"]
    assert main(given) == (objective == "clm")
    said = capsys.readouterr()
    if objective == "clm":
        assert "BertModel" in said.err
    else:
        assert "cls.predictions.bias" in said.out
        assert len(pipeline("fill-mask", str(tmp_path / "run" / "model"))("abc [MASK].")) == 5


def test_one_file_and_a_few_short_ones_are_held_out_from_the_end(tmp_path, capsys):
    words = " ".join(f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh")
    for i in range(6):
        (tmp_path / f"{i}.txt").write_text(words)
    options = {"steps": 1, "validation_share": 0.01}
    assert main([*arguments(tmp_path / "one", None, **options), "--text", f"{tmp_path}/0.txt"]) == 0
    files = [f"{tmp_path}/{i}.txt" for i in range(6)]
    assert main([*arguments(tmp_path / "few", None, **options), "--text", *files]) == 0
    assert capsys.readouterr().out.count("validation: 0 documents, 15 tokens, 1 blocks") == 2


def test_the_vocabulary_is_learned_from_the_texts_that_train(tmp_path):
    held_out = [text for text in (f"zz {i}" for i in range(100)) if is_held_out(text, 0.3)]
    file = tmp_path / "text.txt"
    file.write_text("\n\n".join([*(f"ab cd {i}" for i in range(100)), *held_out]))
    given = arguments(tmp_path / "run", file, validation_share=0.3)
    assert main([*given, "--prepare_only"]) == 0
    pieces = AutoTokenizer.from_pretrained(tmp_path / "run" / "tokenizer").get_vocab()
    assert "ab" in pieces
    assert not any("z" in piece for piece in pieces)


def test_runs_of_other_mask_rates_are_measured_on_the_same_pieces(tmp_path, text):
    losses = []
    for rate in (0.1, 0.6):  # what is learned in one update at this rate changes no digit
        still = {"steps": 1, "learning_rate": 1e-9, "evaluate_every": 1, "mask_rate": rate}
        assert main(arguments(tmp_path / str(rate), text, **still)) == 0
        history = json.loads((tmp_path / str(rate) / "history.json").read_text())
        losses.append(history["evaluations"][-1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_what_a_tokenizer_loses_is_counted_printed_and_on_the_card(tmp_path, capsys):
    text = tmp_path / "hindi.txt"
    text.write_text("अपने में हूँ भर्ती ☃\n" * 60)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"अपनमहभरत"]
    pieces += [f"##{letter}" for letter in "अपनमहभरतीू"]
    BertTokenizer(vocab={p: i for i, p in enumerate(pieces)}).save_pretrained(tmp_path / "t")
    options = {"steps": 1, "validation_share": 0, "evaluate_every": None}
    given = arguments(tmp_path / "run", None, tokenizer=tmp_path / "t", **options)
    assert main([*given, "--text", str(text)]) == 0
    said = capsys.readouterr().out
    assert "60 tokens (" in said  # the snowman
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    for count in ("train, unknown_tokens | 60", "train, marks | 420", "train, lost_marks | 360"):
        assert count in card
    assert "360 of 420 marks" in said
    learned = arguments(tmp_path / "learned", None, **options)
    assert main([*learned, "--text", str(text)]) == 0
    assert "0 of 420 marks" in capsys.readouterr().out


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
def test_a_cut_settings_file_is_one_message_with_a_remedy_that_works(
    finished, text, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(finished[1], run)
    settings = run / "settings.json"
    settings.write_text(settings.read_text()[:40])
    assert main(arguments(run, text)) == 1
    assert f"{settings} can't be read" in capsys.readouterr().err
    settings.unlink()
    before = result(run)
    assert main(arguments(run, text)) == 0
    assert_same(result(run), before)


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
def test_one_changed_id_is_noticed(finished, text, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished[1], run)
    file = run / "blocks" / "train.npy"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    assert main(arguments(run, text)) == 1
    assert str(file) in capsys.readouterr().err


def test_a_second_start_is_refused_while_the_first_runs(text, tmp_path, capsys):
    run = tmp_path / "run"
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom helpers.data import disk\n"
        "with disk.owned(Path(sys.argv[1])):\n    print('mine', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE
    ) as first:
        assert first.stdout.readline()
        assert main(arguments(run, text)) == 1
        first.kill()
    assert str(first.pid) in capsys.readouterr().err
    assert not (run / "settings.json").exists()


def test_an_update_without_a_mask_ends_no_run(text, tmp_path):
    given = arguments(tmp_path / "run", text, batch_size=1, mask_rate=0.02, block_size=4)
    assert main(given) == 0


@pytest.mark.parametrize("finished", ["clm"], indirect=True)
def test_two_processes_with_half_the_batch_equal_one(finished, text, tmp_path):
    """Causal, since masks differ by process; within float tolerance."""
    _, output = finished
    given = arguments(tmp_path / "run", text, "clm", batch_size=2)
    assert launch(given, tmp_path, processes=2) == 0
    two, one = result(tmp_path / "run"), result(output)
    assert [r[1] for r in two[0]] == pytest.approx([r[1] for r in one[0]], abs=2e-4)
    for ours, theirs in zip(two[1], one[1], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-4)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    parts = ["blocks", "checkpoints", "history.json", "log.jsonl", "model", "settings.json"]
    assert [name for name in names if not name.startswith(".")] == [*parts, "tokenizer"]


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "clm"}, "objective: 'mlm' .*'clm'"),
        ({"mask_rate": 0.2}, r"mask_rate: 0\.3 .*0\.2"),
        ({"steps": 11}, "steps: 12 .*11"),
        ({"max_tokens": 50}, "max_tokens: None .*50"),
    ],
)
def test_a_run_with_other_settings_is_refused_and_kept(finished, text, capsys, changes, message):
    _, output = finished
    before = result(output)
    assert main(arguments(output, text, **changes)) == 1
    assert re.search(message, capsys.readouterr().err)
    assert_same(result(output), before)


@pytest.mark.parametrize("finished", ["mlm"], indirect=True)
def test_another_text_is_refused(finished, text, tmp_path, capsys):
    other = tmp_path / "words.txt"
    other.write_text(text.read_text() + " more")
    assert main(arguments(finished[1], other)) == 1
    assert "source, files: 'words.txt; " in capsys.readouterr().err


@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_a_pipeline_takes_what_a_given_tokenizer_of_berts_class_makes(tmp_path, text, objective):
    """That class gives token types, which ModernBERT doesn't take, and closes each text."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *"abcdefgh"]
    pieces += [f"##{letter}" for letter in "abcdefgh"]
    BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(tmp_path)
    run = tmp_path / "run"
    assert main(arguments(run, text, objective, tokenizer=tmp_path, steps=1)) == 0
    if objective == "mlm":
        assert len(pipeline("fill-mask", str(run / "model"))("abc [MASK].")) == 5
    else:
        write = pipeline("text-generation", str(run / "model"))
        assert write.tokenizer("ab")["input_ids"] == [2, 6, 15]
        assert write("ab", max_new_tokens=2)[0]["generated_text"].startswith("ab")


def test_a_slow_tokenizer_is_refused_before_a_decoder_is_trained(tmp_path, text, capsys):
    ByT5Tokenizer().save_pretrained(tmp_path)
    run = tmp_path / "run"
    assert main(arguments(run, text, "clm", tokenizer=tmp_path)) == 1
    assert "ByT5Tokenizer" in capsys.readouterr().err
    assert not (run / "blocks").exists()


def test_a_streamed_data_set_with_a_given_tokenizer_prepared_only(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"body": "a b c d e"}) for _ in range(50)))
    words = ["?", "<eos>", *"abcde"]
    tokenizer_of(words, eos_token="<eos>").save_pretrained(tmp_path / "t")
    options = {"column": "body", "tokenizer": tmp_path / "t", "validation_share": 0}
    given = arguments(tmp_path / "run", None, "clm", evaluate_every=None, **options)
    given += ["--dataset", "json", "--data-files", str(rows), "--prepare-only"]
    assert main(given) == 0
    assert "train: 50 documents, 300 tokens, 18 blocks" in capsys.readouterr().out
    first = Blocks(tmp_path / "run" / "blocks" / "train.npy")[0]["input_ids"]
    assert first.tolist() == [2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
    assert not (tmp_path / "run" / "checkpoints").exists()
    # The same tokenizer can't serve masked language modelling.
    given[1], given[3] = "mlm", str(tmp_path / "masked")
    assert main(given) == 1
    assert "has no mask token, which --objective mlm needs" in capsys.readouterr().err
    assert main([*given, "--column", "text"]) == 1  # objective first: nothing was prepared
    assert not (tmp_path / "masked" / "blocks").exists()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "texts.*empty"),
        (b"ab cd", {"validation_share": 0, "evaluate_every": None}, "more text.*shorten"),
        (b"fine\n\ncaf\xe9", {}, r"text\.txt.*UTF-8.*0xe9"),
        (
            b"abc def",
            {"vocab_size": 6, "validation_share": 0, "evaluate_every": None},
            "vocab_size is 6",
        ),
        (b"x", {"validation_share": 0}, "evaluate_every is 5.*validation_share is 0"),
        (b"x", {"validation_share": 1}, r"validation_share is 1\.0"),
        (b"x", {"mask_rate": 0}, r"mask_rate is 0\.0"),
        (b"x", {"max_tokens": 0}, "max_tokens is 0"),
        (b"x", {"heads": 3}, "3 heads.* 16 "),
        (b"x", {"steps": 0}, "steps=0"),
        (b"x", {"tokenizer": "./no-such-tokenizer"}, "no-such-tokenizer"),
        (None, {}, r"text\.txt"),
    ],
)
def test_bad_input_is_refused_with_one_message(tmp_path, capsys, content, options, message):
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    assert main(arguments(tmp_path / "run", file, **options)) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert re.search(message, error)
    assert not (tmp_path / "run" / "blocks").exists()


def test_a_start_that_failed_can_be_mended_in_the_same_folder(tmp_path, capsys):
    file = tmp_path / "text.txt"
    file.write_text("abc def. " * 10)
    options = {"validation_share": 0, "evaluate_every": None, "steps": 1}
    assert main(arguments(tmp_path / "run", file, block_size=500, **options)) == 1
    assert "block of 500" in capsys.readouterr().err
    assert main(arguments(tmp_path / "run", file, vocab_size=26, **options)) == 0
    capsys.readouterr()
    # Now there is something to lose.
    assert main(arguments(tmp_path / "run", file, vocab_size=27, **options)) == 1
    assert re.search("vocab_size: 26 .*27", capsys.readouterr().err)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "run" / "model")) <= 26


def test_text_and_data_set_exclude_each_other(tmp_path):
    for source in ({}, {"text": ["a.txt"], "dataset": "json"}):
        with pytest.raises(ValueError, match=r"text.*dataset"):
            PretrainingConfig(objective="mlm", output=str(tmp_path), **source)


def test_the_old_path_still_works(tmp_path, capsys):
    assert old_place.main is main
    assert old_place.main(arguments(tmp_path / "run", tmp_path / "absent.txt")) == 1
    assert "absent.txt" in capsys.readouterr().err
