"""As much of the Hugging Face Hub as uploads, `push_to_hub` and loading need, on this machine.

with HubStandIn() as hub:
    HfApi(endpoint=hub.endpoint, token="hf_local").create_repo("ada/news")

`push_to_hub` and `from_pretrained` take the address from HF_ENDPOINT, which has to be set before
their process starts; HF_HUB_OFFLINE must not be set there, and HF_TOKEN must.

It keeps commits in memory, takes every token, and asks for all files in the commit itself. The real
Hub takes large files through a store of its own, checks who may write, and shows the card.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[str, bytes]  # by path


@dataclass
class Repo:
    """Commits, the newest last, and the names that point to some of them."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # a branch's or a tag's commit

    def commit(self, revision: str, change: Files, deleted: set[str]) -> str:
        files = {**self.commits.get(self.names.get(revision, ""), {}), **change}
        files = {path: files[path] for path in files.keys() - deleted}
        state = f"{len(self.commits)} {sorted((p, hashed(f)) for p, f in files.items())}"
        sha = hashed(state.encode())
        self.commits[sha], self.names[revision] = files, sha
        return sha

    def sha(self, revision: str) -> str | None:
        return self.names.get(revision, revision if revision in self.commits else None)


def hashed(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


class HubStandIn:
    """A server on a free port while the `with` block lasts.

    Attributes:
        endpoint: its address.
        repos: by id, such as "ada/news"; for tests.
    """

    def __enter__(self) -> "HubStandIn":
        self.repos: dict[str, Repo] = {}
        handler = type("Handler", (_Handler,), {"repos": self.repos})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    repos: dict[str, Repo]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.split("?")[0]
        found = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/(\w+)/(.+)", path)
        if path == "/api/validate-yaml":  # a card's head
            self._json({"errors": [], "warnings": []})
        elif not self.headers.get("authorization"):
            self._error(401, "Unauthorized", "a token is needed to write")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found and found[1] in self.repos:
            self._change(found[1], found[2], found[3], body)
        else:
            self._error(404, "RepoNotFound", "no such repository")

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if name in self.repos:
            self._json({"error": "exists", "url": self._url(name)}, 409)
            return
        # The newest clients say "visibility", older ones "private".
        self.repos[name] = Repo(
            wanted.get("visibility") == "private" or wanted.get("private", False)
        )
        self.repos[name].commit("main", {".gitattributes": b""}, set())
        self._json({"url": self._url(name), "name": name})

    def _change(self, name: str, what: str, revision: str, body: bytes) -> None:
        repo = self.repos[name]
        if what == "preupload":  # by which way is each file to come?
            paths = [file["path"] for file in json.loads(body)["files"]]
            files = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]
            self._json({"files": files})
        elif what == "commit":
            self._commit(name, repo, revision, body)
        elif what == "tag":
            repo.names[json.loads(body)["tag"]] = repo.sha(revision) or repo.names["main"]
            self._json({})
        else:
            self._error(404, "EntryNotFound", f"the stand-in has no {what}")

    def _commit(self, name: str, repo: Repo, revision: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        change = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        deleted = {line["value"]["path"] for line in lines if line["key"] == "deletedFile"}
        sha = repo.commit(revision, change, deleted)
        self._json({"commitOid": sha, "commitUrl": f"{self._url(name)}/commit/{sha}"})

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        info = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(?:/revision/(.+))?", path)
        tree = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/tree/([^/]+)(?:/(.+))?", path)
        file = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path)
        found = info or tree or file
        repo = self.repos.get(found[1]) if found else None
        revision = (found[2] or "main") if found else ""
        sha = repo.sha(revision) if repo else None
        if path == "/api/whoami-v2":
            self._json({"name": "me", "type": "user", "orgs": []})
        elif repo is None:
            self._error(404, "RepoNotFound", "no such repository")
        elif sha is None:
            self._error(404, "RevisionNotFound", f"no revision {revision}")
        elif tree:
            self._tree(repo.commits[sha], tree[3])
        elif info:
            names = [{"rfilename": name} for name in sorted(repo.commits[sha])]
            about = {"id": info[1], "sha": sha, "private": repo.private, "siblings": names}
            self._json({**about, "tags": []})
        elif file[3] not in repo.commits[sha]:
            self._error(404, "EntryNotFound", f"no file {file[3]}")
        else:
            content = repo.commits[sha][file[3]]
            self._send(200, content, {"ETag": f'"{hashed(content)}"', "X-Repo-Commit": sha})

    def _tree(self, files: Files, folder: str | None) -> None:
        """The files of a commit, or those below a folder; the client asks for optional ones."""
        inside = {n: f for n, f in files.items() if not folder or n.startswith(f"{folder}/")}
        if folder and not inside:
            self._error(404, "EntryNotFound", f"no folder {folder}")
            return
        self._json(
            [
                {"type": "file", "path": n, "size": len(f), "oid": hashed(f)}
                for n, f in inside.items()
            ]
        )

    do_HEAD = do_GET

    def _url(self, name: str) -> str:
        return f"http://{self.headers['host']}/{name}"

    def _json(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self._send(status, body, {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self._send(status, body, {"X-Error-Code": code, "X-Error-Message": message})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
