"""Words that settings take and the command line names too: ways in, log formats, log levels.

They stand apart from the settings so that a page of help need not load those.
"""

AUTH_MODES = ("none", "tokens", "jwt", "proxy")
"""The ways in; what each needs is said in `cidx_jobs.settings.way_in`."""
LOG_FORMATS = ("json", "console")
LOG_LEVELS = ("debug", "info", "warning", "error")
