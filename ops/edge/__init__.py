"""`infra edge`: looks at the Cloudflare zone with the code that deploys it."""
