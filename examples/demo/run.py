"""The demo: a real fine-tuning run on the local cluster, watched from the terminal.

It does what a user would do: puts model and text into a bucket, installs the chart, applies `finetunejob.yaml`, watches the
FineTuneJob, and looks at what came out. It ends with 0 only if the job succeeded and the tuned model is better on held-out rows.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import obstore
import obstore.store
import rich.console
import rich.panel
import rich.progress
import rich.table
import rich.text

import docstrings
import smollm2

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
JOB_FILE = HERE / "finetunejob.yaml"
NAMESPACE, JOB = "demo", "doc-titles"
RELEASE_NAMESPACE = "finetune-system"
TRAIN_ROWS, HELD_OUT_ROWS = 400, 40
POLL_SECONDS = 1.0

console = rich.console.Console(highlight=False)


class DemoFailed(Exception):
    """The demo cannot go on; the message says why and what to look at."""


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--timeout",
        type=float,
        default=1800,
        metavar="SECONDS",
        help="give up on the job after this time (%(default)s)",
    )
    options = parser.parse_args()
    started = time.monotonic()
    try:
        cluster = json.loads(output([sys.executable, "-m", "localcluster", "info"]))
        kube = Kube(cluster)
        bucket = bucket_of(cluster["s3"])
        with step("model and text into the bucket"):
            upload_model(bucket)
            upload_text(bucket)
        with step("install the chart"):
            install(
                kube,
                cluster,
                json.loads(output([sys.executable, "-m", "localcluster", "images"]).splitlines()[-1]),
            )
        with step("namespace, Secret, FineTuneJob"):
            submit(kube, cluster["s3"])
        status = watch(kube, deadline=time.monotonic() + options.timeout)
        better = tell(kube, status, bucket)
    except DemoFailed as error:
        console.print(f"[bold red]The demo failed:[/] {error}")
        return 1
    console.print(f"\n{time.monotonic() - started:.0f} s in all.")
    return 0 if better else 1


# -- what a user would type --------------------------------------------------------------------------------------------------


class Kube:
    """`kubectl` and `helm` against one cluster."""

    def __init__(self, cluster: dict[str, Any]) -> None:
        self.tools: dict[str, str] = cluster["tools"]
        self.kubeconfig: str = cluster["kubeconfig"]

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return output([self.tools["kubectl"], "--kubeconfig", self.kubeconfig, *words], stdin=stdin)

    def helm(self, *words: str) -> str:
        return output([self.tools["helm"], "--kubeconfig", self.kubeconfig, *words])

    def apply(self, manifest: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "ftj", JOB, "-n", NAMESPACE, "-o", "json"))
        return found


def install(kube: Kube, cluster: dict[str, Any], images: dict[str, str]) -> None:
    """Install the operator with the images just built."""
    values = {
        "image": {"reference": images["operator"]},
        "trainerImage": {"reference": images["trainer"]},
        "progress": {"intervalSeconds": 2},  # a person is watching
    }
    values_file = pathlib.Path(cluster["cache"]) / "demo-values.json"
    values_file.write_text(json.dumps(values))
    chart = str(ROOT / "charts" / "finetune-operator")
    kube.helm(
        "upgrade", "--install", "finetune-operator", chart, "--namespace", RELEASE_NAMESPACE, "--create-namespace",
        "--values", str(values_file), "--wait", "--timeout", "180s",
    )  # fmt: skip


def submit(kube: Kube, s3: dict[str, str]) -> None:
    """Apply the FineTuneJob, as new."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kube.apply({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket", "namespace": NAMESPACE},
        "stringData": {
            "AWS_ACCESS_KEY_ID": s3["accessKey"], "AWS_SECRET_ACCESS_KEY": s3["secretKey"],
            "AWS_REGION": s3["region"], "AWS_ENDPOINT_URL": s3["endpoint"],
        },
    })  # fmt: skip
    kube.kubectl("delete", "ftj", JOB, "-n", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=60s")
    kube.kubectl("apply", "-f", str(JOB_FILE))


# -- the bucket --------------------------------------------------------------------------------------------------------------


def bucket_of(s3: dict[str, str]) -> obstore.store.S3Store:
    """The local bucket."""
    return obstore.store.S3Store(
        s3["bucket"], endpoint=s3["endpoint"], access_key_id=s3["accessKey"], secret_access_key=s3["secretKey"],
        region=s3["region"], client_options={"allow_http": True},
    )  # fmt: skip


def upload_model(bucket: obstore.store.S3Store) -> None:
    """SmolLM2-135M-Instruct, if it is not there yet."""
    folder = smollm2.folder()
    prefix = "models/SmolLM2-135M-Instruct"
    there = {item["path"]: item["size"] for item in obstore.list(bucket, prefix).collect()}
    for file in sorted(folder.iterdir()):
        key = f"{prefix}/{file.name}"
        if there.get(key) != file.stat().st_size:
            obstore.put(bucket, key, file)


def upload_text(bucket: obstore.store.S3Store) -> None:
    """Documentation and its one-line titles, made on the spot from the standard library; and no result of an earlier demo."""
    train, held_out = docstrings.rows(seed=42)
    for name, rows in (("train", train[:TRAIN_ROWS]), ("held-out", held_out[:HELD_OUT_ROWS])):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        obstore.put(bucket, f"demo/{name}.jsonl", lines.encode())
    for old in obstore.list(bucket, "adapters/doc-titles").collect():
        obstore.delete(bucket, old["path"])


# -- what the terminal shows -------------------------------------------------------------------------------------------------


class step:  # noqa: N801  it reads as a statement: `with step("...")`
    """One line that says what is done, then how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.started = time.monotonic()
        console.print(f"  [dim]...[/] {self.what}", end="\r")

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        mark = "[red]no[/] " if error else "[green]ok[/] "
        console.print(f"  {mark} {self.what} [dim]({time.monotonic() - self.started:.0f} s)[/]")


def watch(kube: Kube, *, deadline: float) -> dict[str, Any]:
    """Show the job's progress until it ends; its last status."""
    columns = (
        rich.progress.TextColumn("  {task.description:<12}"),
        rich.progress.BarColumn(bar_width=40),
        rich.progress.TextColumn("{task.fields[text]}"),
        rich.progress.TimeElapsedColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bar:
        task = bar.add_task("Pending", total=100, text="")
        said = ""
        for status in statuses(kube, deadline):
            progress = status.get("progress", {})
            bar.update(
                task,
                description=status.get("state", "Pending"),
                completed=progress.get("percent", 0),
                text=progress_text(progress),
            )
            sentence = waiting_sentence(status)
            if sentence and sentence != said:
                said = sentence
                bar.console.print(f"      [dim]{sentence}[/]")
            if status.get("state") in {"Succeeded", "Failed"}:
                return status
    raise DemoFailed(f"the job did not end in time; look at: kubectl describe ftj {JOB} -n {NAMESPACE}")


def statuses(kube: Kube, deadline: float) -> Iterator[dict[str, Any]]:
    """The job's status, again and again."""
    while time.monotonic() < deadline:
        yield kube.job().get("status", {})
        time.sleep(POLL_SECONDS)


def progress_text(progress: dict[str, Any]) -> str:
    """`Train 12/30  loss 3.21  eta 1m20s`, as far as it is known."""
    shown: list[tuple[str, str, Callable[[Any], str]]] = [
        ("stage", "", str), ("text", "", str), ("loss", "loss ", "{:.3f}".format), ("eta", "eta ", str),
    ]  # fmt: skip
    return "  ".join(
        label + form(progress[key]) for key, label, form in shown if progress.get(key) is not None
    )


def waiting_sentence(status: dict[str, Any]) -> str:
    """What the job is doing, in the operator's words."""
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    return f"{ready.get('reason', '')}: {ready.get('message', '')}" if ready else ""


def tell(kube: Kube, status: dict[str, Any], bucket: obstore.store.S3Store) -> bool:
    """Say what came out; whether the tuned model is better on held-out rows."""
    if status["state"] != "Succeeded":
        raise DemoFailed(waiting_sentence(status))
    samples = json.loads(bytes(obstore.get(bucket, "adapters/doc-titles/samples.json").bytes()))
    for sample in [sample for sample in samples if sample["source"] == "held-out"][:3]:
        console.print(answers(sample))
    base, tuned = status["evaluation"]["base"], status["evaluation"]["tuned"]
    better: bool = tuned["loss"] < base["loss"]
    facts = rich.table.Table.grid(padding=(0, 2))
    facts.add_row(
        "held-out loss",
        f"{base['loss']:.3f} -> [bold]{tuned['loss']:.3f}[/] nats per token, {status['evaluation']['rows']} rows",
    )
    facts.add_row("perplexity", f"{base['perplexity']:.1f} -> {tuned['perplexity']:.1f}")
    facts.add_row(
        "data",
        f"{status['dataset']['rows']} rows, {status['dataset']['tokens']} tokens, digest {status['dataset']['digest'][:19]}",
    )
    facts.add_row("adapter", status["adapter"]["uri"])
    console.print(rich.panel.Panel(facts, title=f"FineTuneJob {JOB}: {status['state']}", expand=False))
    console.print(
        f"Next:\n  export KUBECONFIG={kube.kubeconfig}\n"
        f"  {kube.tools['kubectl']} get ftj -n {NAMESPACE}\n"
        f"  {kube.tools['kubectl']} get ftj {JOB} -n {NAMESPACE} -o yaml\n"
        "  make cluster-down    # when you are done"
    )
    if not better:
        console.print("[bold red]The tuned model is not better than the base on held-out rows.[/]")
    return better


def answers(sample: dict[str, Any]) -> rich.panel.Panel:
    """One held-out row: what was asked, what base and tuned answered, what was expected."""
    table = rich.table.Table.grid(padding=(0, 2))
    for who in ("expected", "base", "tuned"):
        table.add_row(
            rich.text.Text(who, style="bold" if who == "tuned" else "dim"),
            rich.text.Text(shortened(sample[who] or "", 240)),
        )
    return rich.panel.Panel(
        table, title=rich.text.Text(shortened(sample["messages"][-1]["content"], 90)), width=110
    )


def shortened(text: str, width: int) -> str:
    """`text` on one line, at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def output(command: list[str], *, stdin: str | None = None) -> str:
    """What `command` printed; DemoFailed with its last words if it failed."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603  our own commands
    if done.returncode:
        last_words = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise DemoFailed(
            f"`{' '.join(command[:6])} ...` ended with {done.returncode}:\n" + "\n".join(last_words)
        )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
