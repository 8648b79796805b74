"""Digests: messages to all or some people, from what a surface answers them."""
