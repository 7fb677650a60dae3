# t/: a unit test of a module is one block: its name in UNIT_TESTS, then its source and what it links. What all of
# them link (Check and common/base) comes from $(UNIT_LIBS).
EXTRA_DIST += t/support/unit.h t/system/run

UNIT_LIBS = libfbbase.a $(CHECK_LIBS)
UNIT_TESTS =

UNIT_TESTS += t/unit/test_config
t_unit_test_config_SOURCES = t/unit/test_config.c
t_unit_test_config_LDADD = libfbconfig.a $(UNIT_LIBS) $(YAML_LIBS)

# t/conf/NAME.yaml is read; t/conf/NAME.ok is the error, or the values that it set.
UNIT_TESTS += t/unit/test_conf
t_unit_test_conf_SOURCES = t/unit/test_conf.c
t_unit_test_conf_CPPFLAGS = $(AM_CPPFLAGS) -DCONF_DIR='"$(abs_top_srcdir)/t/conf"'
t_unit_test_conf_LDADD = libfbconfig.a $(UNIT_LIBS) $(YAML_LIBS)
EXTRA_DIST += t/conf

UNIT_TESTS += t/unit/test_ipc
t_unit_test_ipc_SOURCES = t/unit/test_ipc.c
t_unit_test_ipc_LDADD = libfbipc.a libfbloop.a $(UNIT_LIBS) $(EVENT_LIBS)

UNIT_TESTS += t/unit/test_chan
t_unit_test_chan_SOURCES = t/unit/test_chan.c
t_unit_test_chan_LDADD = libfbipc.a libfbloop.a $(UNIT_LIBS) $(EVENT_LIBS)

UNIT_TESTS += t/unit/test_metrics
t_unit_test_metrics_SOURCES = t/unit/test_metrics.c
t_unit_test_metrics_LDADD = libfbadmin.a libfbmetrics.a $(UNIT_LIBS)

if HAVE_CHECK
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
