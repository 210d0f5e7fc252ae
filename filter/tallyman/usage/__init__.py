"""Follows response bodies and finds the token usage in them. Start at `body.ResponseBody`."""
