"""Workflows comment on pull requests without changing others' comments."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Simulates GitHub's `gh`. All workflows comment as github-actions[bot].
GH = """#!/usr/bin/env python3
import json, re, sys
file, words = "comments.json", sys.argv[1:]
comments = json.load(open(file))
def option(name):
    return words[words.index(name) + 1]
if words[:2] == ["pr", "comment"]:
    body = open(option("--body-file")).read()
    if "--edit-last" in words and comments:
        comments[-1]["body"] = body
    else:
        comments.append({"id": len(comments) + 1, "body": body})
elif "--jq" in words:
    # Understands only the script's filter, without needing jq.
    mark = re.fullmatch(r'\\.\\[\\] \\| select\\(\\.body \\| startswith\\("(.+)"\\)\\) \\| \\.id', option("--jq"))[1]
    print(*(each["id"] for each in comments if each["body"].startswith(mark)), sep="\\n")
else:
    number = next(each for each in words if each.startswith("repos/")).rpartition("/")[2]
    (own,) = (each for each in comments if str(each["id"]) == number)
    own["body"] = open(option("--field").partition("@")[2]).read()
json.dump(comments, open(file, "w"))
"""


@pytest.mark.parametrize("workflow", ["check.yml", "service-preview.yml"])
def test_no_workflow_edits_a_comment_of_others(workflow: str) -> None:
    text = (ROOT / ".github" / "workflows" / workflow).read_text()
    assert "--edit-last" not in text
    assert "tools/pull_request_comment.sh" in text


def test_each_workflow_updates_only_its_own_comment(tmp_path: Path) -> None:
    comments = tmp_path / "comments.json"
    comments.write_text("[]")
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)

    def say(name: str, text: str) -> None:
        (tmp_path / "text").write_text(text)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        environment |= {"REPOSITORY": "daadaar/api", "NUMBER": "7", "GH_TOKEN": "token"}
        script = ROOT / "tools" / "pull_request_comment.sh"
        subprocess.run([script, name, "text"], cwd=tmp_path, env=environment, check=True)

    say("preview", "Preview: one\n")
    theirs = [*json.loads(comments.read_text()), {"id": 2, "body": "Coverage: 91 %"}]
    comments.write_text(json.dumps(theirs))
    say("preview", "Preview: two\n")
    say("review", "Nothing changes.\n")
    say("review", "One resource changes.\n")
    assert [each["body"] for each in json.loads(comments.read_text())] == [
        "<!-- preview -->\nPreview: two\n",
        "Coverage: 91 %",
        "<!-- review -->\nOne resource changes.\n",
    ]
