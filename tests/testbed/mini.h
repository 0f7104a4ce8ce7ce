/* mini.h - where the small model of the tests is. */
#ifndef TESTS_TESTBED_MINI_H
#define TESTS_TESTBED_MINI_H

static const char *const mini_path = SOURCE_DIR "/tests/moe/data/mini.gguf";

#endif
