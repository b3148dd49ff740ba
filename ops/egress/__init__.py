"""`infra egress`: how much media traffic Cloudflare's cache saves the bucket."""
