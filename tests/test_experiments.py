"""Each stored result has one script that makes it, and each chapter that reads it names the script.

No experiment is run here but a tiny one, which is killed and started again.
"""

import ast
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import peft
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from safetensors.torch import load_file

from experiments import adapters, common
from experiments.common import CHECKPOINTS, RESULTS, ROOT, Experiment
from helpers.teaching import show
from tests.tiny import classifier

NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("chapter_*.py"))
CHAPTERS = {path.name[:2]: path for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
# One run each, beside which nothing stands.
ONE_RUN = {"chapter_08_pretrain", "chapter_11_fine_tuned", "chapter_12_trainer"}
ONE_RUN |= {"chapter_13_tagger", "chapter_15_embeddings"}
STORED = {path.name for folder in (RESULTS, CHECKPOINTS) for path in folder.iterdir()}
# A benchmark's results are made by its command, and the text names that.
READ = re.compile(r"(?<!benchmarks/)(?:results|checkpoints)/([\w.-]+)")


def script(name):
    return importlib.import_module(f"experiments.{name}")


@pytest.fixture(scope="module")
def writers():
    """The scripts that declare each file and folder."""
    found = {}
    for name in NAMES:
        for path in script(name).EXPERIMENT.writes:
            found.setdefault(path.name, []).append(name)
    return found


def cells(chapter):
    return nbformat.read(CHAPTERS[chapter], as_version=4).cells


def sections(cells):
    """For each section of a chapter its prose and its code."""
    found = [("", "")]
    for cell in cells:
        if cell.cell_type == "code":
            found[-1] = found[-1][0], f"{found[-1][1]}\n{cell.source}"
            continue
        first, *others = re.split(r"^(?=## )", cell.source, flags=re.MULTILINE)
        found[-1] = f"{found[-1][0]}\n{first}", found[-1][1]
        found += [(text, "") for text in others]
    return found


def unnamed(cells, writers):
    """What a chapter reads in a section that doesn't name the script: (file, script)."""
    return [
        (name, writer)
        for prose, code in sections(cells)
        for name in READ.findall(code)
        for writer in writers[name]
        if f"`experiments/{writer}.py`" not in prose
    ]


def test_one_script_makes_each_stored_result(writers):
    assert {name: found for name, found in writers.items() if len(found) > 1} == {}
    assert writers.keys() == STORED


@pytest.mark.parametrize("chapter", sorted(CHAPTERS))
def test_a_chapter_names_the_script_where_it_reads_its_results(chapter, writers):
    assert unnamed(cells(chapter), writers) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONE_RUN])
def test_a_chapter_shows_what_its_comparison_rests_on(name):
    code = "".join(code for _, code in sections(cells(name[8:10])))
    assert f'show_comparison("{name}")' in code


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_read_off_the_script_without_running_it(name):
    experiment = script(name).EXPERIMENT
    declared = show._declared(ast.parse(Path(experiment.script).read_text("utf-8")))
    assert show.comparison(**declared) == experiment.table()


def test_a_kept_adapter_is_small_names_its_base_and_can_be_loaded(tmp_path):
    model = peft.get_peft_model(
        classifier(),
        peft.LoraConfig(r=2, target_modules=["value", "query"], modules_to_save=["classifier"]),
    )
    for name, weights in model.named_parameters():
        if weights.requires_grad:
            torch.nn.init.normal_(weights, generator=torch.Generator().manual_seed(len(name)))
    adapters.keep(model, tmp_path, "somebody/model")
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "somebody/model"
    assert config["target_modules"] == ["query", "value"]
    assert {*config} < {*adapters.SETTINGS}  # no task was named
    kept = load_file(tmp_path / "adapter_model.safetensors")
    assert {weights.dtype for weights in kept.values()} == {torch.float16}
    loaded = peft.PeftModel.from_pretrained(classifier(seed=1), tmp_path)
    state = loaded.state_dict()
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    assert len(trained) == len(kept)
    for name, weights in trained.items():
        torch.testing.assert_close(state[name], weights, rtol=1e-3, atol=1e-3)


def test_an_adapter_that_would_load_as_another_is_not_kept(tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["query"], lora_dropout=0.1, use_rslora=True)
    with pytest.raises(ValueError, match=r"without \['use_rslora'\]"):
        adapters.keep(peft.get_peft_model(classifier(), config), tmp_path, "somebody/model")
    assert not [*tmp_path.iterdir()]


def test_every_stored_result_is_read():
    code = "".join(code for chapter in CHAPTERS for _, code in sections(cells(chapter)))
    assert set(READ.findall(code)) == STORED


def test_a_script_that_is_named_in_another_section_is_missed():
    notebook = new_notebook(
        cells=[
            new_markdown_cell("## One\n`experiments/chapter_01_a.py`\n\n## Two\nNo name."),
            new_code_cell('read("results/01-a.json")'),
        ]
    )
    assert unnamed(notebook.cells, {"01-a.json": ["chapter_01_a"]}) == [
        ("01-a.json", "chapter_01_a")
    ]
    notebook.cells[0].source += "`experiments/chapter_01_a.py`"
    assert unnamed(notebook.cells, {"01-a.json": ["chapter_01_a"]}) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_script_says_at_its_head_what_it_makes_for_which_chapter(name):
    experiment = script(name).EXPERIMENT
    head = experiment.about.splitlines()[0]
    listed = re.match(r"Chapters? (\d\d)(?: and (\d\d))?, ", head)
    chapters = [number for number in listed.groups() if number]
    assert chapters[0] == name[8:10]
    for path in experiment.writes:
        pattern = f"{chapters[0]}-*.json" if f"{chapters[0]}-*.json" in head else path.name
        assert path.name in head or path.match(pattern), f"{path.name} isn't named"
    everything = [cell for chapter in chapters for cell in cells(chapter)]
    figures = {cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in everything}
    headings = re.findall(r"^##+ (.*)$", "\n".join(c.source for c in everything), re.MULTILINE)
    named, quoted = re.findall(r"fig-[\w-]+", head), re.findall(r'"([^"]*)"', head)
    assert named or quoted
    assert set(named) <= figures
    assert set(quoted) <= set(headings)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_declares_what_its_comparison_rests_on(name):
    experiment = script(name).EXPERIMENT
    assert Path(experiment.script).stem == name
    lines = experiment.table().splitlines()
    assert [re.match(r"\| ([a-z ]+) \| \S", line)[1] for line in lines[2:]] == [
        "input",
        "searched",
        "selected on",
        "seeds",
        "test data",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_the_files_and_the_table(name, monkeypatch, capsys):
    module = script(name)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert module.EXPERIMENT.table() in shown
    assert module.EXPERIMENT.about.strip() in shown
    assert all(path.relative_to(ROOT).as_posix() in shown for path in module.EXPERIMENT.writes)


def test_importing_the_scripts_does_nothing(tmp_path):
    program = f"""
        import importlib, socket
        def refuse(*_, **__):
            raise AssertionError("a connection")
        socket.socket.connect = refuse
        for name in {NAMES}:
            importlib.import_module("experiments." + name)
    """
    # No assets, no corpora, and nowhere to get them: whatever wants one must fail.
    environment = os.environ | {"PLM_ASSETS": str(tmp_path / "none"), "PYTHONPATH": str(ROOT)}
    environment["PIP_NO_INDEX"] = "1"
    before = {path: path.stat().st_mtime_ns for path in sorted(RESULTS.iterdir())}
    done = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in sorted(RESULTS.iterdir())} == before


def best(runs, of, score):
    """The learning rate with the highest mean score, for each value of a column."""
    means = runs[runs["kind"] == "rate"].groupby([of, "rate"])[score].mean()
    return {value: means[value].idxmax() for value in means.index.unique(0)}


def as_chapter(number):
    """What the scripts' plans need of a chapter's definitions, from the stored results."""
    if number == "05":
        rows = json.loads((RESULTS / "05-parts.json").read_text("utf-8"))
        return SimpleNamespace(variants=list(dict.fromkeys(row["variant"] for row in rows)))
    if number == "10":
        return SimpleNamespace(CHECKPOINT=CHECKPOINTS / "bbc-mlm")
    if number == "14":

        def joint_rate(runs, setting):
            runs = runs.assign(mean=runs[["sentiment", "entities"]].mean(axis=1))
            return best(runs, "setting", "mean")[setting]

        return SimpleNamespace(
            chosen_rates=lambda runs: {
                name: rate
                for name, rate in best(runs, "method", "validation").items()
                if name != "frozen"
            },
            chosen_rate=joint_rate,
        )
    return None


PLANNED = [
    ("chapter_01_copy", []),
    ("chapter_01_same_budget", []),
    ("chapter_05_parts", []),
    ("chapter_08_few_labels", []),
    ("chapter_08_nsp", []),
    ("chapter_10_contrastive", ["sweep"]),
    ("chapter_10_reranker", []),
    ("chapter_11_few_labels", []),
    ("chapter_11_heads", []),
    ("chapter_11_recipe", []),
    ("chapter_12_sentiment", []),
    ("chapter_13_ablation", []),
    ("chapter_13_full_run", []),
    ("chapter_14_closer_look", []),
    ("chapter_14_methods", []),
    ("chapter_14_multitask", []),
    ("chapter_15_fine_tuning", []),
    ("chapter_15_model_choice", []),
    ("chapter_16_scaling", []),
    ("chapter_24_adaptation", []),
    ("chapter_24_labels", []),
]


@pytest.mark.parametrize(("name", "words"), PLANNED, ids=[name for name, _ in PLANNED])
def test_no_stored_row_is_made_again_and_each_is_planned(name, words, monkeypatch):
    module, stored, planned = script(name), {}, {}

    def fill(self, file, arguments, plan, run, *, part=None):
        stored[part] = common._rows(file, part)
        runs = plan(stored[part]) if callable(plan) else plan
        known = planned.setdefault(part, [])
        known += [run for place, run in enumerate(runs) if run not in runs[:place]]
        for settings in runs:
            inspect.signature(run).bind(**settings)

    monkeypatch.setattr(Experiment, "fill", fill)
    monkeypatch.setattr(module, "definitions", as_chapter, raising=False)
    monkeypatch.setattr(sys, "argv", [name, *words])
    # What the plans don't need.
    monkeypatch.setattr("helpers.teaching.environment.set_up", lambda: None)
    monkeypatch.setattr("experiments.chapter_08_few_labels.encoded", lambda c, split: [])
    monkeypatch.setattr("experiments.minilm.encoded", lambda *_, **__: [])
    module.main()
    assert stored
    for part, rows in stored.items():
        assert len(rows) == len(planned[part]) > 0
        for settings in planned[part]:
            assert sum(common._is_of(row, settings) for row in rows) == 1, settings


TINY = """
import sys, time
from pathlib import Path
from experiments import common

folder = Path(sys.argv.pop())
common.LOG, common.ROOT = folder / "log.jsonl", folder
FILE = folder / "rows.json"
EXPERIMENT = common.Experiment(
    "tiny.py", "Tiny.", (FILE,), "numbers", "nothing", "nothing", "not used", (0, 1, 2)
)

def square(seed):
    with (folder / "made.txt").open("a") as made:
        print(seed, file=made)
    if seed == 1 and not (folder / "again").exists():
        print("waiting", flush=True)
        time.sleep(600)
    return {"square": seed**2}

arguments = EXPERIMENT.parser(rows=True).parse_args()
EXPERIMENT.fill(FILE, arguments, [{"seed": s} for s in arguments.seeds], square)
"""


def test_a_killed_experiment_goes_on_and_repeats_no_row(tmp_path, monkeypatch):
    command = [sys.executable, "-c", TINY, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as killed:
        while "waiting" not in killed.stdout.readline():
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
    rows = json.loads((tmp_path / "rows.json").read_text("utf-8"))
    assert rows == [{"seed": 0, "square": 0}]

    def start(*words):
        monkeypatch.setattr(sys, "argv", ["tiny", *words, str(tmp_path)])
        exec(TINY, {})

    for name in ("LOG", "ROOT"):
        monkeypatch.setattr(common, name, getattr(common, name))  # the program sets them
    (tmp_path / "again").touch()
    start("--runs", "1")
    assert len(json.loads((tmp_path / "rows.json").read_text("utf-8"))) == 2
    start()

    rows = json.loads((tmp_path / "rows.json").read_text("utf-8"))
    assert rows == [{"seed": seed, "square": seed**2} for seed in range(3)]
    assert (tmp_path / "made.txt").read_text("utf-8").split() == ["0", "1", "1", "2"]
    log = pd.read_json(tmp_path / "log.jsonl", lines=True)
    assert [run["seed"] for run in log["run"]] == [0, 1, 2]
    assert set(log["experiment"]) == {"tiny"}
    for machine in log["machine"]:
        assert {name: value for name, value in machine.items() if name != "gpu"}.keys() == {
            "processor",
            "cores",
            "threads",
            "native bf16",
            "torch",
            "transformers",
        }
        assert machine["processor"] and machine["cores"] >= 1 <= machine["threads"]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "LOG", tmp_path / "log.jsonl")
    file = tmp_path / "result.json"
    return Experiment("x.py", "X.", (file,), "a", "b", "c", "d", (0,))


def test_a_part_of_a_result_leaves_the_others(experiment):
    [file] = experiment.writes
    experiment.make(file, lambda: {"threads": 2}, part="machine")
    experiment.fill(
        file, SimpleNamespace(runs=9), [{"task": "a"}], lambda task: {"right": 3}, part="rows"
    )
    experiment.make(file, lambda: {"threads": 3}, part="machine")
    assert json.loads(file.read_text("utf-8")) == {
        "machine": {"threads": 3},
        "rows": [{"task": "a", "right": 3}],
    }


def test_a_row_that_another_process_writes_meanwhile_stays(experiment):
    [file] = experiment.writes

    def run(seed):
        if seed == 0:
            experiment.fill(file, SimpleNamespace(runs=1), [{"seed": 1}], lambda seed: {"by": "b"})
        return {"by": "a"}

    experiment.fill(file, SimpleNamespace(runs=9), [{"seed": 0}, {"seed": 1}], run)
    rows = json.loads(file.read_text("utf-8"))
    assert rows == [{"seed": 1, "by": "b"}, {"seed": 0, "by": "a"}]


def test_rows_of_another_checkpoint_are_neither_kept_nor_dropped_silently(monkeypatch):
    module = script("chapter_10_contrastive")
    monkeypatch.setattr(module, "definitions", as_chapter)
    monkeypatch.setattr(module, "read", lambda file, otherwise: [{"checkpoint": "old"}])
    monkeypatch.setattr(sys, "argv", ["x", "sweep"])
    with pytest.raises(SystemExit, match=r"10-contrastive\.json has rows of another checkpoint"):
        module.main()


def test_a_later_run_depends_on_the_rows_that_stand(experiment):
    [file] = experiment.writes

    def plan(rows):
        return [{"rate": 1}, {"rate": 2}] if len(rows) < 2 else [{"rate": 1}, {"best": 2}]

    experiment.fill(file, SimpleNamespace(runs=9), plan, lambda **settings: {"done": True})
    rows = json.loads(file.read_text("utf-8"))
    assert rows == [{"rate": 1, "done": True}, {"rate": 2, "done": True}, {"best": 2, "done": True}]


def test_a_script_writes_nothing_that_it_doesnt_declare(experiment, tmp_path):
    with pytest.raises(AssertionError, match=r"x\.py.*other\.json"):
        experiment.make(tmp_path / "other.json", list)
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_a_result_is_a_line_and_reads_as_it_was_written():
    for content in ([{"a": [1, 2]}, {"b": None}], {"x": [{"a": 1}], "y": [0.5], "τ": {"n": 1}}):
        assert json.loads(common.as_text(content)) == content
    assert common.as_text([{"a": [1, 2]}, {"b": None}]).splitlines()[1:3] == [
        '{"a": [1, 2]},',
        '{"b": null}',
    ]
