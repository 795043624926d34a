"""Tests of cidx_jobs."""
