"""The lanes of `make portability` and `make colab`: what they run, and what they call green."""

import ast
import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import colab, lanes, portability
from tools.set_address import ROOT

REPORT = (
    '<testsuites><testsuite tests="{tests}" failures="{failures}" errors="{errors}" '
    'skipped="{skipped}"/></testsuites>'
)


def pins():
    text = lanes.COLAB_PINS.read_text("utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))


def test_the_package_promises_no_version_older_than_colabs():
    """The lane "oldest" runs Colab's; nobody runs what is older."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    colabs = {canonicalize_name(name): version for name, version in pins().items()}
    for line in project["dependencies"]:
        requirement = Requirement(line)
        version = colabs.get(requirement.name)
        if version is None or not requirement.specifier:
            continue
        assert version in requirement.specifier, f"Colab's {version} is refused by {line}"
        (least,) = (part.version for part in requirement.specifier if part.operator == ">=")
        given = version.split(".")[: least.count(".") + 1]
        assert least.split(".") == given, f"{line} promises more than the lane with {version} runs"


def reached(path, seen):
    """The top-level modules from elsewhere that importing a file of the project imports."""
    if path in seen or not path.is_file():
        return set()
    seen.add(path)
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            own, top = ROOT / name.replace(".", "/"), name.partition(".")[0]
            found |= reached(own.with_suffix(".py"), seen) | reached(own / "__init__.py", seen)
            if not (ROOT / top).is_dir():
                found.add(top)
    return found


def installed_with(requirement, seen):
    """The distributions that installing this one brings, as they are in this environment."""
    name = canonicalize_name(requirement.name)
    if (name, *requirement.extras) in seen:
        return
    seen.add((name, *requirement.extras))
    for line in distribution(name).requires or ():
        needed = Requirement(line)
        extras = requirement.extras or {""}
        if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
            installed_with(needed, seen)


def test_a_lane_has_what_its_tests_import():
    """What is imported on the way must come with the package, or the lane leaves the test out."""
    at_hand = set()
    installed_with(Requirement(f"plm-book-helpers{lanes.PACKAGE.removeprefix('.')}"), at_hand)
    names = {name for name, *_ in at_hand} | {"plm-book-helpers"}
    by_module = packages_distributions()
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        if str(path.relative_to(ROOT)) in portability.RENDERING:
            continue
        modules = reached(path, set()) - set(sys.stdlib_module_names) - {"conftest"}
        strange = {
            m for m in modules if not names & set(map(canonicalize_name, by_module.get(m, ())))
        }
        assert not strange, f"{path.name} imports {strange}: name it in RENDERING"


def test_counts_are_read_off_a_report(tmp_path):
    report = tmp_path / "lane.xml"
    report.write_text(REPORT.format(tests=10, failures=2, errors=1, skipped=3))
    assert portability.counts(report) == (4, 3, 3)
    assert portability.counts(tmp_path / "absent.xml") == (0, 1, 0)


@pytest.mark.parametrize(
    ("passed", "failed", "green"), [(5, 0, True), (5, 1, False), (0, 0, False)]
)
def test_a_lane_is_green_when_tests_passed_and_none_failed(passed, failed, green):
    assert portability.Result({}, passed, failed, 0, 1.0).green is green


@pytest.mark.parametrize(("status", "failed"), [(0, 0), (1, 1), (2, 1)])
def test_a_run_that_was_stopped_is_no_green_lane(tmp_path, monkeypatch, status, failed):
    def stopped(command, **_):
        (tmp_path / "a.xml").write_text(REPORT.format(tests=5, failures=0, errors=0, skipped=0))
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(lanes, "FOLDER", tmp_path)
    monkeypatch.setattr(lanes, "versions", lambda *_: {})
    monkeypatch.setattr(portability.subprocess, "run", stopped)
    result = portability.run("a", portability.Lane("a lane", portability.pinned, {}))
    assert (result.passed, result.failed, result.green) == (5, failed, status == 0)


def test_an_unknown_lane_is_named(capsys):
    assert portability.main(["avx9"]) == 2
    assert "No lane is called 'avx9'" in capsys.readouterr().err


def test_a_lane_whose_environment_fails_is_red(monkeypatch, capsys):
    def fail():
        raise lanes.LaneError("no Python 3.13 at hand")

    monkeypatch.setitem(portability.LANES, "oldest", portability.Lane("old", fail, {}))
    assert portability.main(["oldest"]) == 1
    assert "RED   no Python 3.13 at hand" in capsys.readouterr().out


def test_a_python_that_does_not_run_is_passed_over(tmp_path, monkeypatch):
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(lanes.LaneError, match=r"needs Python 3\.99"):
        lanes.find_python("3.99")
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert lanes.find_python(running) == sys.executable


def test_an_environment_over_another_sees_its_packages(tmp_path):
    base = lanes.make(tmp_path / "base", sys.executable)
    (lanes.site_packages(base) / "of_the_base.py").write_text("x = 1")
    (lanes.site_packages(base) / "of_both.py").write_text("x = 'base'")
    over = lanes.make(tmp_path / "over", str(base), base)
    (lanes.site_packages(over) / "of_both.py").write_text("x = 'over'")
    code = "import of_the_base, of_both, pip; print(of_the_base.x, of_both.x)"
    result = subprocess.run([over, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "1 over\n"


def test_a_changed_package_of_colab_is_found(tmp_path):
    base = lanes.make(tmp_path / "base", sys.executable)
    machine = lanes.make(tmp_path / "machine", str(base), base)
    (lanes.site_packages(machine) / "plm_book_helpers-0.1.0.dist-info").mkdir()
    assert colab.changed_packages(machine) == []
    (lanes.site_packages(machine) / "huggingface_hub-9.9.dist-info").mkdir()
    assert colab.changed_packages(machine) == ["huggingface_hub 9.9"]


def test_a_chapter_that_does_not_exist_is_named(capsys):
    assert [path.name[:3] for path in colab.chapters("01")] == ["01-"]
    assert colab.main(["99"]) == 1
    assert "There is no chapter '99'" in capsys.readouterr().err
