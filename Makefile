# Every target says what it does: `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DOCS_VENV := build/docs-venv
LM_EVAL := build/lm-eval
HISTORIES ?= 10000
REPORT ?= build/smollm2-report
LOCALCLUSTER = PYTHONPATH=tests/cluster $(PY) -m localcluster
# Two busy threads on two cores can be ten times slower than one: facts of the training stack.
export OMP_NUM_THREADS ?= 1
export HF_HUB_DISABLE_TELEMETRY = 1
export TOKENIZERS_PARALLELISM = false
export TQDM_DISABLE = 1

##@ Start here
demo: cluster images  ## A real fine-tuning run on a real Kubernetes on this machine, from nothing to a better model
	PYTHONPATH=tests/cluster:tests/support $(PY) examples/demo/run.py

test: test-docs cluster servers check slow test-lm-eval wiring test-chart test-gitops test-policies bench-operator-short test-supply e2e  ## Everything: docs, check, slow unit tests, lm-eval, wiring tests, chart, GitOps, policies, the operator's thresholds, supply chain, end to end on the local cluster

##@ While you work
check: format-check lint types layers unit  ## Format, lint, types, layers, unit and contract tests (under 90 s)

fmt: $(READY)  ## Format the code
	$(VENV)/bin/ruff format -q . && $(VENV)/bin/ruff check -q --fix . || true

format-check: $(READY)
	$(VENV)/bin/ruff format --check -q .

lint: $(READY)
	$(VENV)/bin/ruff check -q .

types: $(READY)
	$(VENV)/bin/mypy --no-error-summary operator/src/finetune_operator trainer-image/src/finetune_trainer cli/src/kubectl_finetune tests/cluster/localcluster

layers: $(READY)
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/lint-imports --no-logo --config cli/.importlinter

unit: $(READY)  ## Unit and contract tests
	$(VENV)/bin/pytest -q -n 2 -m "not slow" tests/unit tests/contract

slow: $(READY)  ## Unit and contract tests that train a tiny model, wait for servers or start many processes
	$(VENV)/bin/pytest -q -n 2 -m slow tests/unit tests/contract

test-lm-eval: $(LM_EVAL)/.ready  ## Tasks of lm-eval, asked of a tiny model: what the extra brings (100 s)
	PYTHONPATH=$(LM_EVAL) $(VENV)/bin/pytest -q tests/lm-eval

$(LM_EVAL)/.ready: lm-eval-image/requirements.lock | $(READY)
	rm -rf $(LM_EVAL)
	$(VENV)/bin/uv pip install -q --python $(VENV) --target $(LM_EVAL) --no-deps --only-binary :all: --require-hashes -r $<
	@touch $@

wiring: $(READY)  ## Real kopf and client against a fake API server, in process
	$(VENV)/bin/pytest -q -n 2 tests/wiring

test-cli: cluster images  ## kubectl finetune: every command and every way to fail, runs on this machine, and stories on the local cluster (6 min)
	$(VENV)/bin/pytest -q -n 2 tests/unit/kubectl_finetune
	$(VENV)/bin/pytest -q -rP tests/e2e/test_cli.py

test-chart: $(READY)  ## What the chart renders for many ways to install it; alerts and dashboards as Prometheus reads them
	$(VENV)/bin/pytest -q -n 2 tests/chart

test-gitops: $(READY)  ## What kstatus, Argo CD and Flux say of a job in every state, by their own code (cold 2 min)
	$(VENV)/bin/pytest -q tests/gitops

test-supply: $(READY)  ## SBOM and licences of what the images carry
	$(VENV)/bin/pytest -q tests/supply

test-policies: $(READY)  ## Who may do what, on a real API server of its own
	$(VENV)/bin/pytest -q tests/policies

e2e: cluster images  ## End to end, on the local cluster
	$(VENV)/bin/pytest -q -rP tests/e2e

test-examples: cluster images  ## The five tutorials of examples/, each at small size with a tiny model, on the local cluster (3 min)
	$(VENV)/bin/pytest -q -rP tests/e2e/test_tutorials.py

servers: $(READY)  ## The Google and Azure storage servers and the MLflow server of the unit tests, once (cold 6 min; without them those tests skip)
	PYTHONPATH=tests/support $(PY) tests/support/storage_servers.py

fuzz: $(READY)  ## Fuzz the readers of data files for FUZZ_SECONDS (60)
	PYTHONPATH=tests/support $(PY) tests/fuzz/fuzz_readers.py

histories: $(READY)  ## HISTORIES (10000) random histories of a job against the operator's loop (docs/life-of-a-job.md; 5 minutes)
	FINETUNE_TEST_HISTORIES=$(HISTORIES) $(VENV)/bin/pytest -q -n 2 --timeout 0 tests/unit/finetune_operator/test_histories.py

soak: $(READY)  ## Half an hour of jobs under random faults, on a real API server (SOAK="--minutes 2 --jobs 30" for less)
	PYTHONPATH=tests/bench $(PY) tests/faults/soak.py $(SOAK)

test-faults: $(READY)  ## Every fault of the API server at every call of a job's life: docs/faults.md (5 minutes)
	PYTHONPATH=tests/support $(PY) tests/support/fault_table.py

##@ The local cluster (CLUSTER=current: the cluster of your kubeconfig instead; see tests/cluster/README.md)
cluster: $(READY)  ## Start a real Kubernetes on this machine, or find it running
	$(LOCALCLUSTER) up

cluster-down: $(READY)  ## Stop it and leave nothing behind
	$(LOCALCLUSTER) down

kueue: cluster  ## Install Kueue in the local cluster: queues, quota, preemption (cold build 3 min)
	$(LOCALCLUSTER) kueue up

images: cluster  ## Build both images and push them to the local registry
	$(LOCALCLUSTER) images

prune: cluster  ## Remove images of earlier code: each change of a lock file leaves 20 GB behind
	$(LOCALCLUSTER) prune

##@ Benchmarks (each prints one JSON object as its last line)
bench-operator: $(READY)  ## The operator against a real API server, with pods played by kwok
	$(PY) tests/bench/bench_operator.py

bench-operator-short: $(READY)  ## The same in short, held to tests/bench/operator_thresholds.json; part of `make test` (2 minutes)
	$(PY) tests/bench/bench_operator.py --jobs 30 120 --light-seconds 10 --quiet-seconds 30 --running 20 --neighbour 100 \
		--thresholds tests/bench/operator_thresholds.json

bench-peer: $(READY)  ## FineTuneJobs beside Kubeflow Trainer's TrainJobs, by turns on this machine (20 minutes; cold build 3 min more)
	$(PY) tests/bench/bench_peer.py

bench-estimate: $(READY)  ## The memory estimate against what real training takes on CPU (20 minutes)
	$(PY) tests/bench/bench_estimate.py

bench-data: $(READY)  ## Prepare against TRL's own dataset preparation: rows per second, and memory at a million rows
	PYTHONPATH=tests/support $(PY) tests/bench/bench_data.py

resume-table: $(READY)  ## Kill training at every moment and resume it: docs/interruptions.md (10 minutes)
	PYTHONPATH=tests/support HF_HUB_OFFLINE=1 $(PY) tests/support/resume_table.py

publish-table: $(READY)  ## Let the bucket die at every request of a publish: docs/result.md (3 minutes)
	PYTHONPATH=tests/support $(PY) tests/support/publish_table.py

bench-trainer: $(READY)  ## Training against a plain TRL script: seconds per step, time to the first step, what a checkpoint costs, what packing brings
	PYTHONPATH=tests/support $(PY) tests/bench/bench_trainer.py

bench-quality: $(READY)  ## What SmolLM2 learns from real text: our trainer against a plain TRL script, and DPO on pairs (20 minutes)
	PYTHONPATH=tests/support $(PY) tests/bench/bench_quality.py

smollm2-report: $(READY)  ## A real report: SmolLM2 on real text on CPU, tuned better than base on held-out rows or exit code 1 (10 to 20 minutes)
	rm -rf $(REPORT)
	PYTHONPATH=tests/support $(PY) tests/bench/smollm2_report.py --keep $(REPORT)

##@ Documentation
docs: $(DOCS_VENV)/.ready  ## The documentation as a site, build/docs/index.html; a link that leads nowhere ends it (4 s)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --clean

test-docs: docs  ## What ends that build, and how a browser lays the pages out
	$(VENV)/bin/pytest -q tests/docs

$(DOCS_VENV)/.ready: docs/site/requirements.lock | $(READY)
	$(VENV)/bin/uv venv -q --clear --python 3.11 $(DOCS_VENV)
	$(VENV)/bin/uv pip sync -q --python $(DOCS_VENV) --require-hashes docs/site/requirements.lock
	@touch $@

##@ Generated files
crds: $(READY)  ## Write crds/ and the chart's copy from the API models
	$(PY) -m finetune_operator.api.schema crds charts/finetune-operator/files/crds

generated: crds  ## Write what is made from code: CRDs, the chart's table of values and dashboards, jobs in every state, the pages of reasons, of bad input, of chat templates, of a job's life and of reference
	$(PY) tests/support/chart_values.py
	$(PY) tests/support/reasons_page.py
	$(PY) tests/support/estimate_page.py
	$(PY) tests/support/bad_input_page.py
	$(PY) tests/support/families_page.py
	$(PY) tests/support/life_page.py
	PYTHONPATH=tests/support $(PY) tests/support/cli_screens.py
	$(PY) tests/support/gitops_states.py
	$(PY) tests/support/dashboards.py
	$(PY) tests/support/reference_page.py
	$(PY) tests/support/security_page.py
	$(PY) tests/support/licences.py

sbom: $(READY)  ## Write an SBOM of each image's packages (CycloneDX) into dist/sbom
	PYTHONPATH=tests/support $(PY) tests/support/sbom.py

krew: $(READY)  ## kubectl finetune as archives for krew, one a platform, and their manifest, into dist/krew (KREW="--platform linux-amd64" for one)
	$(PY) cli/krew/build.py $(KREW)

report-screenshots: $(READY)  ## docs/report-*.png: the report of `make smollm2-report` as a headless Chromium shows it
	PYTHONPATH=tests/support $(PY) tests/support/report_shots.py $(REPORT)/report.html

dashboard-pictures: $(READY)  ## docs/dashboards/*.svg: the Grafana dashboards as a real Prometheus fills them (5 minutes; takes the kwok control plane)
	PYTHONPATH=tests/cluster:tests/support:tests/bench $(PY) tests/support/dashboard_pictures.py

lock: $(READY)  ## Pin every dependency anew, with hashes
	.ci/lock

##@ The development environment
venv: $(READY)  ## Install the pinned development environment into .venv

$(READY): requirements.lock .ci/uv.txt operator/pyproject.toml trainer-image/pyproject.toml cli/pyproject.toml
	.ci/venv $(VENV)
	@touch $@

clean:  ## Remove the development environment and caches of this checkout
	rm -rf $(VENV) $(DOCS_VENV) $(LM_EVAL) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help:  ## This text
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo test test-examples check fmt format-check lint types layers unit slow test-lm-eval wiring test-cli test-chart test-gitops test-policies test-supply sbom krew e2e servers fuzz histories test-faults soak cluster cluster-down kueue images prune bench-operator bench-peer bench-estimate bench-data bench-trainer bench-quality smollm2-report report-screenshots dashboard-pictures resume-table publish-table docs test-docs crds generated lock venv clean help
