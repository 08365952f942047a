#!/bin/bash
# A short run of the crash test; `make crash-test` is the long one.
exec "$(dirname "$0")/../crash/run.sh" quick
