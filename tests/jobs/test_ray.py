"""Jobs on a real Ray cluster of two CPUs, with its default of asking for a token."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import jobs
from fracture_core.errors import ConfigError
from fracture_core.jobs import State, ray_jobs
from fracture_core.settings import settings
from tests.support.job_runs import fake_command, make_run, processes_of

APP = Path(__file__).parents[2] / "streamlit_app.py"
START_SECONDS = 120
PATIENCE_SECONDS = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """`ray start`, and the end of everything that came from it."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(32)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        # A socket's path may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))

    def start(self) -> None:
        program = Path(sys.executable).with_name("ray")
        options = {
            "--num-cpus": "2",
            "--num-gpus": "0",
            "--port": "0",
            "--dashboard-host": "127.0.0.1",
            "--dashboard-port": str(self.port),
            "--dashboard-agent-listen-port": str(free_port()),
            "--ray-client-server-port": str(free_port()),
            "--min-worker-port": "0",
            "--max-worker-port": "0",
            "--temp-dir": str(self.folder),
        }
        words = [word for pair in options.items() for word in pair]
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        subprocess.run(
            [program, "start", "--head", "--disable-usage-stats", *words],
            env=environment,
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )

    def processes(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if self._has_token(each)]

    def _has_token(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            return process.environ().get("RAY_AUTH_TOKEN") == self.token
        except psutil.Error:
            return False

    def end(self) -> None:
        while left := self.processes():
            for process in left:
                process.kill()
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Imported it is later: it reads once whether tokens are asked for.
    if find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed")
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def ray(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("FRACTURE_RUNNER", "ray")
    monkeypatch.setenv("FRACTURE_STOP_SECONDS", "20")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
    settings.cache_clear()
    ray_jobs._forget_listing()
    yield cluster
    ray_jobs._forget_listing()
    settings.cache_clear()


def submit_fake(name: str, **config: object) -> Path:
    path = make_run(name, device="cpu", **config)
    jobs.submit(path, command=fake_command(path))
    return path


def wait_until(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def finish(path: Path) -> jobs.Job:
    return jobs.wait_for_end(path, timeout_seconds=PATIENCE_SECONDS)


@pytest.mark.slow
def test_the_same_verbs_run_stop_and_finish_a_job(ray, home):
    first, second = submit_fake("first"), submit_fake("second", steps=10_000)
    assert jobs.submit(second).state in (State.QUEUED, State.RUNNING)
    wait_until((second / "checkpoints" / "last.pt").exists)
    assert jobs.find_job(second).state is State.RUNNING
    assert "from step 0" in jobs.logs(second)
    assert jobs.stop(second).state is State.STOPPING
    done = finish(second)
    assert (done.state, (second / "stopped").exists()) == (State.STOPPED, True)
    assert finish(first).state is State.SUCCEEDED
    wait_until(lambda: not processes_of(home))
    (second / "config.json").write_text('{"steps": 1, "device": "cpu"}')
    jobs.resume(second)
    again = finish(second)
    assert (again.state, again.exit_code, len(again.attempts)) == (State.SUCCEEDED, 0, 1)
    # Kept in the folder: it can be read without the cluster.
    assert (second / "log.txt").read_text().count("from step") == 2
    jobs.delete(second)
    assert [job.name for job in jobs.list_jobs()] == ["first"]


@pytest.mark.slow
def test_bad_input_and_crashes_are_told_apart(ray):
    bad, crashed = submit_fake("bad", exit=2), submit_fake("crashed", crash_at=3)
    job = finish(bad)
    assert (job.state, job.exit_code, job.retries) == (State.FAILED, 2, 0)
    assert job.detail == "data: expected an image, found a potato."
    wait_until(lambda: jobs.tend() or jobs.find_job(crashed).state is State.SUCCEEDED)
    assert finish(crashed).retries == 1


@pytest.mark.slow
def test_a_running_job_is_deleted_with_its_processes(ray, home):
    path = submit_fake("run", steps=10_000)
    wait_until((path / "checkpoints" / "last.pt").exists)
    jobs.delete(path)
    assert not path.exists()
    wait_until(lambda: not processes_of(path))


@pytest.mark.slow
def test_a_wrong_token_is_an_error(ray, monkeypatch):
    code = "from fracture_core.jobs import ray_jobs; ray_jobs._connect()"
    # Ray reads the token once a process.
    asked = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ConfigError: RAY_ADDRESS: expected a Ray cluster that answers" in asked.stderr


@pytest.mark.slow
def test_the_page_runs_logs_and_stops_a_job_on_the_cluster(ray, home):
    path = submit_fake("shown", steps=10_000)
    wait_until((path / "checkpoints" / "last.pt").exists)
    app = open_page()
    assert app.dataframe[0].value["State"].tolist() == ["running"]
    wait_until(lambda: any("from step 0" in each.value for each in app.run().code))
    next(each for each in app.button if each.label == "Stop").click().run()
    finish(path)
    app.run()
    assert app.dataframe[0].value["State"].tolist() == ["stopped"]
    assert not app.exception
    assert not app.error


def open_page() -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    return app.switch_page("pages/train/jobs.py").run()


@pytest.mark.slow
def test_without_its_head_everything_is_an_error_and_nothing_runs_here(ray, home):
    """The last one: it ends the cluster."""
    path = submit_fake("run", steps=10_000)
    other = make_run("other", device="cpu")
    wait_until((path / "checkpoints" / "last.pt").exists)
    ray.end()
    ray_jobs._forget_listing()
    words = "RAY_ADDRESS: expected a Ray cluster that answers at http"
    for verb in (jobs.submit, jobs.stop, jobs.logs, jobs.delete):
        with pytest.raises(ConfigError, match=words):
            verb(other if verb is jobs.submit else path)
    with pytest.raises(ConfigError, match=words):
        jobs.tend()
    (job,) = jobs.list_jobs()
    assert job.state is State.LOST
    assert words in job.detail
    app = open_page()
    assert not app.exception
    assert words in app.error[0].value.replace("\\", "")
    assert app.dataframe[0].value["State"].tolist() == ["lost"]
    assert not (other / "job.json").exists()
    # Ray's own watcher sees a second later that the cluster has gone.
    wait_until(lambda: not processes_of(home))


@pytest.mark.parametrize("address", ["", "auto", "ray://127.0.0.1:10001", "http://"])
def test_an_address_that_is_none_is_an_error(address, monkeypatch):
    monkeypatch.setenv("FRACTURE_RUNNER", "ray")
    monkeypatch.setenv("RAY_ADDRESS", address)
    settings.cache_clear()
    run = make_run("run")
    with pytest.raises(ConfigError, match="RAY_ADDRESS: expected the address of a Ray cluster"):
        jobs.submit(run)
    assert [each.name for each in run.iterdir()] == ["config.json"]
    settings.cache_clear()


def test_a_closed_door_is_an_error(monkeypatch):
    monkeypatch.setenv("FRACTURE_RUNNER", "ray")
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{free_port()}")
    settings.cache_clear()
    run = make_run("run")
    with pytest.raises(ConfigError, match="Nothing was started here"):
        jobs.submit(run)
    assert jobs.list_jobs() == []
    settings.cache_clear()
