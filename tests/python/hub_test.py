"""Models of the Hugging Face Hub: from a cache laid out as huggingface_hub lays it out, and from a hub of this process."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import voxshift as vs
from voxshift import hub

COMMIT, OLD = "a" * 40, "b" * 40
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed"
)
# Each address on a line of its own: the weights' sum, or the error. For the library reads its settings when it is imported.
PROGRAM = """
import json, sys
import voxshift as vs
for address in sys.argv[1:]:
    try:
        model = vs.Model.load(address)
        print(json.dumps(float(sum(abs(values).sum() for values in model.parameters().values()))))
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Name -> (bytes of a file, the sum of its weights)."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    for seed, name in enumerate(("first", "second", "third")):
        model = vs.Model.new("minkunet", width=1 / 16, classes=2, seed=seed)
        model.save(folder / name)
        found[name] = ((folder / name).read_bytes(), float(sum(abs(v).sum() for v in model.parameters().values())))
    assert len({total for _, total in found.values()}) == 3
    return found


def cache(home, repo, commits, refs):
    """A repository in the hub's cache: blobs, of which snapshots/COMMIT have links, and refs/NAME that tell a commit."""
    folder = home / "hub" / f"models--{repo.replace('/', '--')}"
    (folder / "blobs").mkdir(parents=True)
    for commit, files in commits.items():
        for name, content in files.items():
            blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
            blob.write_bytes(content)
            link = folder / "snapshots" / commit / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    for name, commit in refs.items():
        ref = folder / "refs" / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)


def load(home, *addresses, **settings):
    """What PROGRAM says of each address."""
    settings = {"HF_HUB_OFFLINE": "1", **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", PROGRAM, *addresses], capture_output=True, text=True, check=False,
                          env={**environment, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                               "HF_HUB_DISABLE_PROGRESS_BARS": "1", **settings})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://org/name", ("org/name", None, None)),
        ("hf://models/org/name", ("org/name", None, None)),
        ("hf://org/name@v1.0", ("org/name", "v1.0", None)),
        ("hf://o-r.g/n_1/sub/x.safetensors", ("o-r.g/n_1", None, "sub/x.safetensors")),
        ("hf://org/name@refs%2Fpr%2F3/x.safetensors", ("org/name", "refs/pr/3", "x.safetensors")),
    ],
)
def test_addresses(text, expected):
    assert hub.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["hf://", "hf://name", "hf://org/name/", "hf://org/name@", "hf://org/name/x.bin", "hf://org/na me", "http://org/name", "org/name",
     "hf://org/name@a@b", "hf://org/name/../x.safetensors"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"^\[hub\] expected \"hf://ORG/NAME"):
        hub.fetch(text)


def test_a_load_that_is_no_address_is_as_ever(tmp_path):
    with pytest.raises(vs.IoError, match=r"hf_org"):
        vs.Model.load(tmp_path / "hf_org")
    with pytest.raises(vs.InvalidArgument, match=r"^\[hub\] expected"):
        vs.Model.load("hf://org")


def test_without_the_library_one_line_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # which import takes for missing
    with pytest.raises(ImportError, match=r"pip install 'voxshift\[hub\]'"):
        vs.Model.load("hf://org/name")


@needs_library
def test_a_cache_is_enough(tmp_path, models):
    first, second, third = (models[name] for name in models)
    cache(tmp_path, "acme/usual", {COMMIT: {"model.safetensors": first[0], "other.safetensors": second[0]},
                                   OLD: {"model.safetensors": third[0]}}, {"main": COMMIT, "v1": OLD, "refs/pr/3": OLD})
    cache(tmp_path, "acme/single", {COMMIT: {"sub/unet.safetensors": second[0], "README.md": b"# hi"}}, {"main": COMMIT})
    found = load(tmp_path, "hf://acme/usual", "hf://acme/usual/other.safetensors", "hf://acme/usual@v1", f"hf://acme/usual@{OLD}",
                 "hf://acme/usual@refs%2Fpr%2F3/model.safetensors", "hf://acme/single", "hf://acme/single@main/sub/unet.safetensors")
    assert found == [first[1], second[1], third[1], third[1], third[1], second[1], second[1]]


@needs_library
def test_what_the_cache_has_not_is_one_line(tmp_path, models):
    content = models["first"][0]
    cache(tmp_path, "acme/two", {COMMIT: {"b.safetensors": content, "a.safetensors": content}}, {"main": COMMIT})
    cache(tmp_path, "acme/none", {COMMIT: {"README.md": b"# hi"}}, {"main": COMMIT})
    cache(tmp_path, "acme/cut", {COMMIT: {"model.safetensors": content[:-9]}}, {"main": COMMIT})
    absent = f"is not in the cache {tmp_path / 'hub'}, and HF_HUB_OFFLINE is set"
    found = load(tmp_path, "hf://acme/nothing", "hf://acme/two/c.safetensors", "hf://acme/two@v9", "hf://acme/two", "hf://acme/none")
    assert found == [
        f"IoError: hf://acme/nothing: {absent}",
        f"IoError: hf://acme/two/c.safetensors: {absent}",
        f"IoError: hf://acme/two@v9: {absent}",
        "IoError: hf://acme/two: expected model.safetensors or a single .safetensors file in the cache, found 2: a.safetensors, "
        "b.safetensors; name one: hf://acme/two/a.safetensors",
        "IoError: hf://acme/none: expected model.safetensors or a single .safetensors file in the cache, found none",
    ]
    (cut,) = load(tmp_path, "hf://acme/cut")
    assert cut.startswith("IoError: ") and "model.safetensors: " in cut
    assert load(tmp_path / "empty", "hf://acme/two") == [f"IoError: hf://acme/two: is not in the cache {tmp_path / 'empty' / 'hub'}, "
                                                         "and HF_HUB_OFFLINE is set"]


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as a download needs."""

    repos: ClassVar[dict] = {}
    asked: ClassVar[list] = []

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(f"{self.command} {path}")
        is_list = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        files = self.repos.get("/".join(parts[:2]))
        if files is None:
            return self.answer(401, b"", X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        if parts[3:4] != ["main"] and len(parts) > 3:
            return self.answer(404, b"", X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        if is_list and parts[2:3] == ["tree"]:
            entries = [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()]
            return self.answer(200, json.dumps(entries).encode(), Content_Type="application/json")
        if is_list:
            listed = {"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return self.answer(200, json.dumps(listed).encode(), Content_Type="application/json")
        data = files.get("/".join(parts[4:]))
        if data is None:
            return self.answer(404, b"", X_Error_Code="EntryNotFound", X_Error_Message="Entry not found", X_Repo_Commit=COMMIT)
        return self.answer(200, data, ETag=f'"{hashlib.sha256(data).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


@pytest.fixture
def served(models):
    """The address of a hub on this machine."""
    first, second = models["first"][0], models["second"][0]
    Hub.repos = {"acme/usual": {"model.safetensors": first, "x.safetensors": second}, "acme/single": {"sub/unet.safetensors": second},
                 "acme/two": {"a.safetensors": first, "b.safetensors": second}}
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@needs_library
def test_a_hub_is_asked_once_and_the_cache_afterwards(tmp_path, models, served):
    addresses = ["hf://acme/usual", "hf://acme/usual/x.safetensors", "hf://acme/single"]
    expected = [models["first"][1], models["second"][1], models["second"][1]]
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": served, "HF_HUB_DISABLE_XET": "1"}
    assert load(tmp_path, *addresses, **online) == expected
    assert any(line.startswith("GET ") and line.endswith("unet.safetensors") for line in Hub.asked)
    Hub.asked = []
    assert load(tmp_path, *addresses) == expected
    assert Hub.asked == []
    found = load(tmp_path, "hf://acme/absent", "hf://acme/usual@v9", "hf://acme/usual/y.safetensors", "hf://acme/two", **online)
    assert found == [
        "IoError: hf://acme/absent: no such repository, or one that needs a token: hf auth login",
        "IoError: hf://acme/usual@v9: the repository has no revision v9",
        "IoError: hf://acme/usual/y.safetensors: the repository has no file y.safetensors",
        "IoError: hf://acme/two: expected model.safetensors or a single .safetensors file in the repository, found 2: a.safetensors, "
        "b.safetensors; name one: hf://acme/two/a.safetensors",
    ]


@needs_library
def test_a_hub_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    """As huggingface_hub says it, after it has tried for half a minute."""
    import huggingface_hub
    from huggingface_hub import constants, utils

    def unreachable(*_, **__):
        raise utils.LocalEntryNotFoundError("An error happened\nof several lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda scan=huggingface_hub.scan_cache_dir: scan(tmp_path / "none"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "CACHE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for address in ("hf://acme/usual", "hf://acme/usual/x.safetensors"):
        with pytest.raises(vs.IoError) as raised:
            vs.Model.load(address)
        assert str(raised.value) == f"{address}: is not in the cache CACHE, and the hub cannot be reached"


@needs_library
def test_what_else_goes_wrong_is_one_line(monkeypatch):
    import huggingface_hub

    def broken(*_, **__):
        raise OSError("No space left on device\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(vs.IoError, match=r"^hf://acme/usual: No space left on device$"):
        vs.Model.load("hf://acme/usual")
