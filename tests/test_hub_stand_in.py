"""The stand-in for the Hub: the real client can't tell it from the Hub, as far as it goes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from examples.hub_stand_in import HubStandIn
from tests import small_classifier

CARD = "---\nlicense: apache-2.0\n---\n# A model\n"


@pytest.fixture
def hub():
    with HubStandIn() as hub:
        yield hub


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token="hf_of_nobody")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 100)
    return folder


def test_a_folder_comes_back_by_commit_branch_and_tag(hub, api, folder, tmp_path):
    api.create_repo("me/model", private=True)
    first = api.upload_folder(repo_id="me/model", folder_path=folder)
    api.create_tag("me/model", tag="v1")
    (folder / "README.md").write_text(CARD + "Changed.\n")
    second = api.upload_folder(repo_id="me/model", folder_path=folder)
    assert first.oid != second.oid

    def read(name, revision):
        place = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
        return Path(hf_hub_download("me/model", name, revision=revision, **place)).read_bytes()

    changed = (CARD + "Changed.\n").encode()
    assert read("README.md", None) == read("README.md", second.oid) == changed
    assert read("README.md", "v1") == read("README.md", first.oid) == CARD.encode()
    assert read("weights.safetensors", "v1") == bytes(range(256)) * 100
    info = api.model_info("me/model")
    assert info.sha == second.oid and info.private
    assert {file.rfilename for file in info.siblings} == {
        ".gitattributes",
        "README.md",
        "weights.safetensors",
    }


def test_a_whole_snapshot_comes_back(hub, api, folder, tmp_path):
    api.create_repo("me/model")
    api.upload_folder(repo_id="me/model", folder_path=folder)
    found = snapshot_download("me/model", endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
    assert (Path(found) / "README.md").read_text() == CARD


def test_a_repository_is_made_once(api):
    api.create_repo("me/model")
    api.create_repo("me/model", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("me/model")


def test_what_is_not_there_has_the_clients_error(hub, api, folder, tmp_path):
    place = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("me/none", "README.md", **place)
    api.create_repo("me/model")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("me/model", "README.md", **place)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("me/model", ".gitattributes", revision="v9", **place)
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(endpoint=hub.endpoint, token=False).create_repo("me/other")


PUSH = """
import sys
from huggingface_hub import HfApi
from transformers import AutoModelForSequenceClassification, AutoTokenizer

for version, folder in enumerate(sys.argv[1:], start=1):
    for part in (AutoModelForSequenceClassification, AutoTokenizer):
        part.from_pretrained(folder).push_to_hub("me/news", private=True)
    HfApi().create_tag("me/news", tag=f"v{version}")
"""
LOAD = """
import json
from transformers import AutoModelForSequenceClassification, pipeline

TEXT = "The striker scored twice."
found = {}
for revision in ("v1", "main"):
    classify = pipeline("text-classification", "me/news", revision=revision, device="cpu")
    found[revision] = classify(TEXT, top_k=None)
try:
    AutoModelForSequenceClassification.from_pretrained("me/news", revision="v9")
except OSError as error:
    found["v9"] = str(error)
print(json.dumps(found))
"""


def run(program, hub, cache, *arguments):
    """A program in a process of its own, to which the stand-in is the Hub."""
    names = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(cache), "HF_TOKEN": "hf_of_nobody"}
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | names
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1:]


def test_a_model_pushed_by_one_process_is_loaded_by_revision_in_another(hub, api, tmp_path):
    folder = small_classifier.save(tmp_path / "small")
    api.create_repo("me/news", private=True)
    card = tmp_path / "README.md"
    card.write_text(CARD)
    api.upload_file(repo_id="me/news", path_or_fileobj=card, path_in_repo="README.md")
    other = small_classifier.save(tmp_path / "other", ("tech", "politics"))
    run(PUSH, hub, tmp_path / "a", folder, other)

    found = json.loads(run(LOAD, hub, tmp_path / "b")[0])
    assert {row["label"] for row in found["v1"]} == {"business", "sport"}
    assert {row["label"] for row in found["main"]} == {"tech", "politics"}
    assert "v9" in found["v9"]  # the message names the revision that isn't there
    # The card that stood there keeps its licence.
    path = hf_hub_download("me/news", "README.md", endpoint=hub.endpoint, cache_dir=tmp_path / "c")
    assert ModelCard.load(path).data.license == "apache-2.0"


def test_without_a_card_push_to_hub_writes_one_without_a_licence(hub, tmp_path):
    run(PUSH, hub, tmp_path / "a", small_classifier.save(tmp_path / "small"))
    path = hf_hub_download("me/news", "README.md", endpoint=hub.endpoint, cache_dir=tmp_path / "c")
    card = ModelCard.load(path)
    assert card.data.license is None and "More Information Needed" in card.text
