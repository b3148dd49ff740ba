# `make rehearse` and `make test` need nothing done before them.
.PHONY: help setup setup-deploy rehearse sandbox permissions test soak mutate packs check format bench synth diff deploy accept lock clean
FILES := $(basename $(notdir $(wildcard environments/*.toml)))
ENV ?= $(if $(filter 1,$(words $(FILES))),$(FILES),production)
SHELL := /bin/bash
VENV := .venv/bin
export PYTHONPATH := constructs:runtime:.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do printf '%-12s %s\n' "$$name" "$$text"; done

setup:  ## install what the project needs; the others do it first
	@tools/setup.sh

setup-deploy:  ## install only what a deployment and ./infra need, as workflow jobs that hold an AWS role do
	@tools/setup.sh deploy

rehearse: setup  ## deploy ENV (or all) into the emulator, read it back, update, roll back, destroy; REDIS=upstash or another way; SITES=amplify or none; WITHOUT=sidecars turns off a condition of real accounts; FROM=COMMIT only upgrades what that commit deploys, under traffic
	@$(VENV)/python -m rehearsal $(ENV) $(if $(FROM),--from $(FROM)) $(if $(REDIS),--redis $(REDIS)) $(if $(SITES),--sites $(SITES)) $(if $(WITHOUT),--without $(WITHOUT))

sandbox: setup  ## deploy ENV into the emulators and keep it up, with a page and ./infra, until Ctrl-C (docs/sandbox.md); KEEP=1 leaves it running in the background
	@$(VENV)/python -m rehearsal.sandbox $(if $(filter command line environment,$(origin ENV)),$(ENV),dev) $(if $(KEEP),--keep)

permissions: setup  ## of the last rehearsal of ENV: takes each used grant away in turn, and sees a call fail
	@$(VENV)/python -m rehearsal.permissions $(ENV)

test: setup  ## everything, offline
	@$(VENV)/python -m tools.suite $(ARGS)

soak: setup  ## two thousand histories of the Cloudflare provider under faults, fifty migrations at once, three hundred Redis servers, twenty restores, a rollback at every stage of a release, the life of production, Redis moved between providers, two thousand requests during each rotation, every one-line edit, predicted and then deployed under traffic, every game day with alarms (GAME_DAYS=NAME: one); CI runs a sample
	@HISTORIES=2000 MIGRATIONS=50 REDIS_SERVERS=300 REDIS_URLS=200000 REDIS_CALLERS=50 RESTORES=20 ROLLBACK_STAGES=11 EDITS=1000 $(VENV)/pytest \
	  tests/runtime/cloudflare/test_histories.py tests/runtime/release/test_migrate.py tests/client \
	  tests/runtime/database/test_restore.py tests/ops/test_rollback_stages.py tests/effects tests/soak $(ARGS)
	@ROTATION_REQUESTS=2000 $(VENV)/pytest tests/rehearsal/test_secrets.py -k every_check
	@ROTATION_REQUESTS=2000 $(VENV)/python -m rehearsal dev

mutate: setup  ## every single fault of templates, workflows and trust, judged by the policies; CI judges a sample. Report: build/mutants.md
	@MUTANTS=all $(VENV)/pytest tests/mutants $(ARGS) && cat build/mutants.md

packs: setup  ## the four rule packs of cdk-nag beside AwsSolutions and Control Tower's controls, over all environments and ways of Redis; CI leaves them out
	@$(VENV)/pytest tests/packs $(ARGS)

check: setup  ## format, lint, types, layers
	@$(VENV)/ruff format --check --quiet . || { echo 'not formatted: make format'; exit 1; }
	@$(VENV)/ruff check --quiet .
	@$(VENV)/mypy --num-workers 2
	@$(VENV)/lint-imports --no-logo

format: setup  ## format and mend what the linter can
	@$(VENV)/ruff format --quiet .
	@$(VENV)/ruff check --quiet --fix .

bench: setup  ## figures into build/bench.json
	@INFRA_ENVIRONMENTS=tests/environments $(VENV)/python -m tools.bench $(ARGS)

synth: setup-deploy  ## the templates of ENV
	@npx cdk synth --quiet --context env=$(ENV)

diff: setup-deploy  ## what a deployment of ENV would change
	@npx cdk diff --context env=$(ENV) '$(ENV)/*'
	@./infra effects $(ENV) || [ $$? -eq 3 ]

deploy: setup-deploy  ## for real, with your credentials
	@npx cdk deploy --context env=$(ENV) '$(ENV)/*'

accept: setup  ## take what environments/ and the code make now: snapshots, deploy.yml, docs/alarms.md, the JSON Schema; read the diff before you commit it
	@$(VENV)/python -m config.schema
	@$(VENV)/python -m tools.deploy_workflow
	@$(VENV)/pytest tests/stacks/test_snapshots.py --snapshot-update --quiet -x --tb=short || { \
		: 'what could not be synthesized is no snapshot to delete'; \
		git ls-files -dz tests/stacks/__snapshots__ | xargs -0r git checkout --quiet --; \
		echo 'accept: failed; deleted snapshots are restored' >&2; exit 1; }
	@INFRA_ENVIRONMENTS=tests/environments $(VENV)/python -m tools.alarms_doc

lock: setup  ## requirements*.txt from requirements*.in
	@$(VENV)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes --quiet \
		--custom-compile-command 'make lock' --output-file requirements.txt
	@$(VENV)/uv pip compile requirements-dev.in --constraints requirements.txt --universal --python-version 3.11 \
		--generate-hashes --quiet --custom-compile-command 'make lock' --output-file requirements-dev.txt
	@$(VENV)/uv pip compile runtime/requirements.in --constraints requirements.txt --python-platform aarch64-manylinux_2_28 \
		--python-version 3.14 --generate-hashes --quiet --custom-compile-command 'make lock' --output-file runtime/requirements.txt

clean:  ## remove what was installed and built
	@rm -rf build cdk.out .venv node_modules
