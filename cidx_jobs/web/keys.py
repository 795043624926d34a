"""Application keys (`aiohttp.web.AppKey`): what is found in an application that has our routes."""

from aiohttp import web

from cidx_jobs.system import JobSystem
from cidx_jobs.web.http.call import Api

JOBS: web.AppKey[JobSystem] = web.AppKey("cidx_jobs", JobSystem)
"""The job system behind the routes."""

API: web.AppKey[Api] = web.AppKey("cidx_jobs_api", Api)
"""The parts that the routes share."""
