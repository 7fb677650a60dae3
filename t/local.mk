# t/: a unit test of a module is one block: its name in UNIT_TESTS, then its source and what it links. What all of
# them link (Check and common/base) comes from $(UNIT_LIBS).
EXTRA_DIST += t/support/unit.h t/system/run

UNIT_LIBS = libfbbase.a $(CHECK_LIBS)
UNIT_TESTS =

if HAVE_CHECK
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
