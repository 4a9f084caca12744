"""Finding out that a part is down: pure judgement in `judge`, probes around it."""
