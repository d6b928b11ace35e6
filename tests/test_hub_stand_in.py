"""The stand-in for the Hub: the real client can't tell it from the Hub, as far as it goes."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from examples.hub_stand_in import HubStandIn

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
