/* blas_core.h - makes OpenBLAS use the kernels that this processor is best at.
 *
 *     int main(int argc, char **argv)
 *     {
 *             blas_core_choose(argv);
 *
 * OpenBLAS chooses when it is loaded, by a list of processors older than many of them, and takes its AVX2 kernels on
 * processors with AVX-512 that it does not know, at half the speed. The environment alone can tell it better
 * (OPENBLAS_CORETYPE), so the program sets that and starts itself anew, once. What the user has set stays.
 */
#ifndef TESTBED_BLAS_CORE_H
#define TESTBED_BLAS_CORE_H

/* Returns where nothing is to be mended, or where starting anew failed; else does not return. */
void blas_core_choose(char **argv);

#endif
