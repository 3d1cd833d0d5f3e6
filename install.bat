@echo off
rem Puts wan2gp-svi into WanGP: double-click, or  install.bat [--wangp DIR]
rem Takes it out, looks at it, updates WanGP:     install.bat uninstall, status, update
rem Runs another of its commands, lists them:     install.bat plan --frames 400, --help
setlocal DisableDelayedExpansion
chcp 65001 >nul 2>&1
set "PYTHONUTF8=1"
set "HERE=%~dp0"
set "CODE=1"
if not exist "%HERE%wan2gp_svi\cli.py" (
    echo wan2gp-svi: The rest of wan2gp-svi is not here. Extract the whole zip first, then try again.
    goto end
)

rem The first word is a command unless it is an option. ("shift", below, leaves the words whole.)
set "FIRST=%~1"
set "COMMAND=install"
if defined FIRST if not "%FIRST:~0,1%"=="-" set "COMMAND="
for %%H in (-h --help --version) do if /i "%FIRST%"=="%%H" set "COMMAND="

rem The WanGP folder is looked for here only to find its own Python; the installer decides.
set "NAMED="
if defined WANGP_DIR set "NAMED=%WANGP_DIR:"=%"
:words
if /i "%~1"=="--wangp" set "NAMED=%~2"
if not "%~1"=="" if exist "%~1\wgp.py" set "NAMED=%~1"
shift
if not "%~1"=="" goto words
set "W="
for %%D in ("%NAMED%" "%HERE%.." "%CD%" "%HERE%..\.." "%HERE%..\..\..") do (
    if not defined W if exist "%%~D\wgp.py" set "W=%%~D"
    if not defined W if exist "%%~D\app\wgp.py" set "W=%%~D"
)
if not defined W set "W=%HERE%.."

rem WanGP's own Python first, then conda's, then any. A loop, because "call" would expand twice.
rem "if errorlevel 0" is true from 0 upwards: a Python that crashes ends below it.
set "FOUND="
set LIST="%W%\venv\Scripts\python.exe" "%W%\.venv\Scripts\python.exe" "%W%\env\Scripts\python.exe"
set LIST=%LIST% "%W%\env_venv\Scripts\python.exe" "%W%\env_uv\Scripts\python.exe"
set LIST=%LIST% "%W%\env_conda\python.exe" "%W%\app\env\Scripts\python.exe"
set LIST=%LIST% "%W%\python_embeded\python.exe" "%W%\..\python_embeded\python.exe"
set LIST=%LIST% "%CONDA_PREFIX%\python.exe" "python.exe" "py.exe"
for %%P in (%LIST%) do (
    if not defined FOUND "%%~P" -c "import sys; sys.exit(sys.version_info < (3, 10))" >nul 2>&1
    if errorlevel 0 if not errorlevel 1 if not defined FOUND set "FOUND=%%~P"
)
if not defined FOUND (
    echo wan2gp-svi: Python 3.10 or newer was not found. Install it from python.org, then try again.
    goto end
)

rem HERE ends in a backslash, which would escape the quote after it: hence the dot.
"%FOUND%" -c "import sys; sys.path.insert(0, sys.argv.pop(1)); from wan2gp_svi.cli import main; sys.exit(main())" "%HERE%." %COMMAND% %*
set "CODE=%ERRORLEVEL%"

:end
echo.
pause
exit /b %CODE%
