"""The tests: a package, so that one of this name that another distribution installed does not hide it."""
