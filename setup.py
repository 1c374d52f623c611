"""The extension concx._core; everything else about the package stands in pyproject.toml.

Switches, read from the environment:
    CONCX_DEBUG=1                    no optimisation, C assertions on
    CONCX_WERROR=1                   warnings are errors
    CONCX_SANITIZE=thread|address    instrumented (address brings undefined behaviour along)
    CONCX_URCU=1                     readers and grace periods of liburcu, not of csrc/core/rcu.c
"""

import os
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SANITIZERS = {"": "", "thread": "thread", "address": "address,undefined"}


def liburcu_version() -> str | None:
    """The version of liburcu's bp flavour; None where pkg-config does not know it."""
    command = ["pkg-config", "--modversion", "liburcu-bp"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def extension() -> Extension:
    debug = bool(os.environ.get("CONCX_DEBUG"))
    sanitize = os.environ.get("CONCX_SANITIZE", "")
    if sanitize not in SANITIZERS:
        raise SystemExit(f"CONCX_SANITIZE={sanitize!r}: must be 'thread', 'address' or unset")
    macros: list[tuple[str, str | None]] = []
    flags = ["-std=c11", "-fvisibility=hidden", "-fno-semantic-interposition"]
    flags += ["-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes"]
    flags += ["-O0", "-g", "-UNDEBUG"] if debug else ["-O1", "-g"] if sanitize else ["-O3"]
    link = []
    if os.environ.get("CONCX_WERROR"):
        flags.append("-Werror")
    if sanitize:
        flags += [f"-fsanitize={SANITIZERS[sanitize]}", "-fno-omit-frame-pointer"]
        link.append(f"-fsanitize={SANITIZERS[sanitize]}")
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        macros.append(("CX_WITH_GIL", "1"))
    if version := liburcu_version():
        macros.append(("CX_URCU_VERSION", f'"{version}"'))
    libraries = []
    if os.environ.get("CONCX_URCU"):
        if not version:
            raise SystemExit("CONCX_URCU is set, but pkg-config knows no liburcu-bp")
        macros.append(("CX_WITH_URCU", "1"))
        libraries.append("urcu-bp")
    return Extension(
        "concx._core",
        sources=sorted(glob("csrc/core/*.c") + glob("csrc/binding/*.c")),
        depends=sorted(glob("csrc/**/*.h", recursive=True)),
        include_dirs=["csrc", "python/concx/include"],
        define_macros=macros,
        extra_compile_args=flags,
        extra_link_args=link,
        libraries=libraries,
    )


class BuildExt(build_ext):
    """Compiles on all CPUs, and always: a switch above may have changed where no file did."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True

    def build_extension(self, ext: Extension) -> None:
        compile_all = self.compiler.compile

        def compile_parallel(sources, *args, **kwargs):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                jobs = [pool.submit(compile_all, [one], *args, **kwargs) for one in sources]
                return [path for job in jobs for path in job.result()]

        self.compiler.compile = compile_parallel
        super().build_extension(ext)


setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExt})
