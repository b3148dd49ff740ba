#!/usr/bin/env bash
# `NAME FILE`: writes FILE as a comment on the pull request NUMBER of REPOSITORY, over the one that NAME wrote before.
# `gh pr comment --edit-last` would write over other workflows' comments: to GitHub, all are github-actions[bot]'s.
set -euo pipefail
mark="<!-- $1 -->"
text=$(mktemp)
trap 'rm -f "$text"' EXIT
{ printf '%s\n' "$mark" && cat "$2"; } >"$text"
own=$(gh api --paginate "repos/$REPOSITORY/issues/$NUMBER/comments" \
  --jq ".[] | select(.body | startswith(\"$mark\")) | .id")
if [ -n "$own" ]; then
  gh api --method PATCH --silent "repos/$REPOSITORY/issues/comments/${own%%$'\n'*}" --field body=@"$text"
else
  gh pr comment "$NUMBER" --repo "$REPOSITORY" --body-file "$text"
fi
