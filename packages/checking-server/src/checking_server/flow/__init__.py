"""The stations of one message: accept, dispatch, (execute in a worker,) gather, expire, report."""
