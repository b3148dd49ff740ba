"""`infra edge`: inspects the Cloudflare zone with the code that deploys it."""
