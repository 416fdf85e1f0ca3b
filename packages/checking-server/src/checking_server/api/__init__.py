"""The REST API, version 1.

============== ===================================================================================
module         what it holds
============== ===================================================================================
app            the application: routes, error map and middleware put together
health         routes of health; ``checkup`` asks the parts
operations     routes of operations; so ``executions``, ``checks`` (detection executions) and ``results``
schemas        what is answered, a struct for each kind of row
listing        how a page is asked for, and the shape it comes in; ``filters`` what it is narrowed to
docs_page      the description of the API as a page
rate           how often somebody may ask
problems       every error as problem+json: the one place where an error becomes a status
middleware     request id, times and the access log
access         routes of keys, tokens and the audit log
guards         who may ask
ingest         what the red team did, told over HTTP
dead_letters   messages that could not be accepted
plugins        what is installed, and whether backends can be reached
events         the route of changes as they happen; ``streams`` buffers them for each reader
============== ===================================================================================

A group of routes is one module with one ``Router`` that ``app`` lists. Routes read and write through a unit of work
of the store and raise the errors of ``checking_core.errors``; they build no error answer of their own.
"""
