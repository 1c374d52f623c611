"""What every benchmark needs, whatever it measures: rows, child processes, pinning, checks, machine facts."""
