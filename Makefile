# The few commands one needs; the work is done by CMake (presets release, debug, asan, tsan; output in build/<preset>/).
#
#   make run  [ARGS="..."]       install what is missing, build, run the main job; ARGS go to `wdmoe run`
#   make test [PRESET=asan]      the same set-up, then all tests
#   make build [PRESET=debug]    the same set-up, then the program alone
#   make accept                  the long, re-runnable figures (tests/accept)
#   make train [ARGS="..."]      train the shipped model, or go on where it was stopped (needs torch, installs it)
#   make format, make clean

PRESET ?= release
BUILD = build/$(PRESET)
ARGS ?=

packages = gcc libc6-dev cmake ninja-build pkgconf libfftw3-dev libliquid-dev libopenblas-pthread-dev libsodium-dev \
	libuhd-dev libzmq3-dev libjansson-dev libyaml-dev libpcre2-dev libcmocka-dev
test_packages = python3
# And gnuradio, which is large: without it zmq_gnuradio.py is skipped.
accept_packages = clang libclang-rt-14-dev python3-numpy python3-scipy
train_packages = python3-torch python3-numpy

# Installs those of the Debian packages $(1) that are not there. On other systems it is the user's task.
define need
	@command -v dpkg-query >/dev/null || { echo "No Debian packages here; needed are the like of: $(1)"; exit 0; }; \
	missing=; \
	for p in $(1); do \
		dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -q '^installed' || missing="$$missing $$p"; \
	done; \
	test -n "$$missing" || exit 0; \
	sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
	command -v $${sudo:-true} >/dev/null || { echo "Not root and no sudo. Please have installed:$$missing"; exit 1; }; \
	echo "Installing Debian packages:$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	for p in $$missing; do \
		apt-cache policy $$p 2>/dev/null | grep -q 'Candidate: [^(]' || stale=yes; \
	done; \
	test -z "$$stale" || $$sudo apt-get update -q; \
	$$sudo apt-get install -q -y --no-install-recommends $$missing || \
	{ $$sudo apt-get update -q && $$sudo apt-get install -q -y --no-install-recommends $$missing; }
endef

.PHONY: run test build accept train format clean configure setup
.DEFAULT_GOAL := build

setup:
	$(call need,$(packages))

configure: setup
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)

build: configure
	@cmake --build $(BUILD) --target wdmoe

run: build
	@$(BUILD)/wdmoe run $(ARGS)

test: configure
	$(call need,$(test_packages))
	@cmake --build $(BUILD)
	@ctest --test-dir $(BUILD) -LE 'accept|hardware' --output-on-failure

accept: configure
	$(call need,$(test_packages) $(accept_packages))
	@cmake --build $(BUILD) --target accept
	@ctest --test-dir $(BUILD) -L accept --output-on-failure

train: setup
	$(call need,$(train_packages))
	@moe/train/run.sh $(ARGS)

format:
	@clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build
