-- How an account stands.

-- An account with the row that it is counted in now, and what it comes to: the row itself, or all slices of a rolling window.
local function charged(number, key, starts, ends)
  local term = limit(number)
  local total = term.rolling > 0 and total_of(term, key)
  local row = made_row(number, starts, ends, key)
  return { term = term, row = row, total = total or row }
end

local function account_now(number, key, starts, ends)
  local term = limit(number)
  if term.rolling > 0 then
    local slice = term.rolling / 60
    starts = math.floor(now / SECOND / slice) * slice
    ends = starts + slice
  end
  return charged(number, key, starts, ends)
end

-- When its window began and when the next begins; of a rolling one, when room first returns. Microseconds; 0 without a window.
local function bounds(one)
  local term, row = one.term, one.row
  if term.rolling == 0 then return row.starts * SECOND, row.ends * SECOND end
  local _, first = slices(term, row.key, true, true)
  return now - term.rolling * SECOND, ((first or row).ends + term.rolling) * SECOND
end

-- Of each account what is spent and held, and its bounds; after the head of an answer.
local function standings(told, accounts)
  if #accounts == 1 and #told == 1 then
    local one = accounts[1]
    local starts, ends = bounds(one)
    return { told[1], one.total.spent, one.total.held, starts, ends }
  end
  for i = 1, #accounts do
    local one, n = accounts[i], #told
    told[n + 1], told[n + 2] = one.total.spent, one.total.held
    told[n + 3], told[n + 4] = bounds(one)
  end
  return told
end
