# scripts/: what a person runs, and what checks the tree.
EXTRA_DIST += scripts/clear-certs scripts/new-certs
EXTRA_DIST += scripts/check scripts/clang-format scripts/common.sh scripts/run scripts/m4/.gitkeep

EXTRA_DIST += scripts/check-includes
TESTS += scripts/check-includes
EXTRA_DIST += scripts/check-statements
