# The words of this repository. `make rehearse` and `make test` need nothing done before them.
.PHONY: setup rehearse permissions test soak check format bench synth diff deploy snapshots dashboard alarms schema lock clean
ENV ?= production
SHELL := /bin/bash
VENV := .venv/bin
export PYTHONPATH := constructs:runtime:.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

setup:
	@tools/setup.sh

rehearse: setup  ## deploy ENV (or all) into the emulator, read it back, update, roll back, destroy; REDIS=upstash or another way; WITHOUT=sidecars turns off a condition of real accounts
	@$(VENV)/python -m rehearsal $(ENV) $(if $(REDIS),--redis $(REDIS)) $(if $(WITHOUT),--without $(WITHOUT))

permissions: setup  ## of the last rehearsal of ENV: takes each used grant away in turn, and sees a call fail
	@$(VENV)/python -m rehearsal.permissions $(ENV)

test: setup  ## everything, offline
	@$(VENV)/python -m tools.suite $(ARGS)

soak: setup  ## two thousand histories of the Cloudflare provider under faults, fifty migrations at once, three hundred Redis servers, twenty restores; CI runs a sample
	@HISTORIES=2000 MIGRATIONS=50 REDIS_SERVERS=300 REDIS_URLS=200000 REDIS_CALLERS=50 RESTORES=20 $(VENV)/pytest \
	  tests/runtime/cloudflare/test_histories.py tests/runtime/release/test_migrate.py tests/client \
	  tests/runtime/database/test_restore.py $(ARGS)

check: setup  ## format, lint, types, layers
	@$(VENV)/ruff format --check --quiet . || { echo 'not formatted: make format'; exit 1; }
	@$(VENV)/ruff check --quiet .
	@$(VENV)/mypy --num-workers 2
	@$(VENV)/lint-imports --no-logo

format: setup
	@$(VENV)/ruff format --quiet .
	@$(VENV)/ruff check --quiet --fix .

bench: setup  ## figures into build/bench.json
	@$(VENV)/python -m tools.bench $(ARGS)

synth: setup
	@npx cdk synth --quiet --context env=$(ENV)

diff: setup
	@npx cdk diff --context env=$(ENV) '$(ENV)/*'

deploy: setup  ## for real, with your credentials
	@npx cdk deploy --context env=$(ENV) '$(ENV)/*'

snapshots: setup  ## accept the templates as they are now; read the diff before you commit it
	@$(VENV)/pytest tests/stacks --snapshot-update --quiet

dashboard: setup  ## the picture in the docs, from the synthesized definition
	@$(VENV)/python -m tools.dashboard_picture

alarms: setup  ## docs/alarms.md, from the synthesized templates
	@$(VENV)/python -m tools.alarms_doc

schema: setup  ## the JSON Schema of environments/*.toml, from the model
	@$(VENV)/python -m config.schema

lock: setup  ## requirements.txt from requirements.in
	@$(VENV)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes --quiet \
		--custom-compile-command 'make lock' --output-file requirements.txt
	@$(VENV)/uv pip compile runtime/requirements.in --constraints requirements.txt --python-platform aarch64-manylinux_2_28 \
		--python-version 3.14 --generate-hashes --quiet --custom-compile-command 'make lock' --output-file runtime/requirements.txt

clean:
	@rm -rf build cdk.out .venv node_modules
