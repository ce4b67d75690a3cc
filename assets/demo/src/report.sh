# A report out of two modules.
# use: units_01_sum
# use: ledger_07_sum

report() {
  echo "units: $(units_01_sum 11)"
  echo "ledger: $(ledger_07_sum 5)"
}
