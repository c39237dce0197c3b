"""The HTTP server of every service, and what it says when something is wrong."""
