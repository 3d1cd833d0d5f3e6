@echo off
rem Puts wan2gp-svi into WanGP: double-click, or  install.bat [--wangp DIR]
rem Takes it out, looks at it, updates WanGP:     install.bat uninstall, status, update
setlocal DisableDelayedExpansion
chcp 65001 >nul 2>&1
set "PYTHONUTF8=1"
set "HERE=%~dp0"
set "W=%WANGP_DIR%"
if not defined W set "W=%HERE%.."
set "FOUND="

rem WanGP's own Python first, then conda's, then any. A loop, because "call" would expand twice.
set LIST="%W%\venv\Scripts\python.exe" "%W%\.venv\Scripts\python.exe" "%W%\env\Scripts\python.exe"
set LIST=%LIST% "%W%\env_venv\Scripts\python.exe" "%W%\env_uv\Scripts\python.exe"
set LIST=%LIST% "%W%\env_conda\python.exe" "%W%\app\env\Scripts\python.exe"
set LIST=%LIST% "%CONDA_PREFIX%\python.exe" "python.exe" "py.exe"
for %%P in (%LIST%) do (
    if not defined FOUND "%%~P" -c "import sys; sys.exit(sys.version_info < (3, 10))" >nul 2>&1
    if not errorlevel 1 if not defined FOUND set "FOUND=%%~P"
)
if not defined FOUND (
    echo wan2gp-svi: Python 3.10 or newer was not found. Install it from python.org, then try again.
    set "CODE=1"
    goto end
)

set "COMMAND=install"
for %%C in (install uninstall status update) do if /i "%~1"=="%%C" set "COMMAND="
rem HERE ends in a backslash, which would escape the quote after it: hence the dot.
"%FOUND%" -c "import sys; sys.path.insert(0, sys.argv.pop(1)); from wan2gp_svi.cli import main; sys.exit(main())" "%HERE%." %COMMAND% %*
set "CODE=%ERRORLEVEL%"

:end
echo.
pause
exit /b %CODE%
