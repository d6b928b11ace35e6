@echo off
rem Windows: find a Python that the wheels are for; start.py does the rest.
cd /d "%~dp0"
for %%V in (@PYTHONS@) do (
  py -%%V -c "" >nul 2>&1 && (
    py -%%V start.py %*
    goto end
  )
)
python -c "import sys; sys.exit('%%d.%%d' %% sys.version_info[:2] not in '@PYTHONS@'.split())" >nul 2>&1 && (
  python start.py %*
  goto end
)
echo This folder needs Python @PYTHONS_OR@, and this machine has none. Install it (python.org, or
echo your teacher's stick), then start setup.bat again. Another version of Python doesn't fit.
:end
if not defined WORKSHOP_QUIET pause
