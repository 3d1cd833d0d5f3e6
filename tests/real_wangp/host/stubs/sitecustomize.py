import os

if os.environ.get("WANGP_CPU_SHIM") == "1":
    import cpu_shim

    cpu_shim.install()
