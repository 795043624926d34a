"""Webhooks: pushes that come in from code hosts, notices of ends that go out, their secrets."""
