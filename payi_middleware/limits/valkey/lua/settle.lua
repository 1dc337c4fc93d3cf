-- After a call: what it cost, in the rows in which it was reserved.

local LETTERS = { ok = 'o', exceeded = 'e', overrun = 'v' }

-- The accounts of a call for which nothing is held, in the windows in which it began.
local function told_accounts(step)
  local found = {}
  for i = 10, #step, 4 do
    local number, key, starts, ends = step[i], step[i + 1], step[i + 2], step[i + 3]
    local term = limit(number)
    if term.rolling > 0 then
      local slice = term.rolling / 60
      starts = math.floor(math.min(step[2], now / SECOND) / slice) * slice
      ends = starts + slice
    end
    found[#found + 1] = charged(number, key, starts, ends)
  end
  return found
end

-- The accounts in which it was reserved, of limits that are still there.
local function reserved_accounts(record)
  local found = {}
  local places = record.places
  for i = 1, #places do
    local place = places[i]
    local term = limit(place[1])
    local row = not term.gone and row_at(place[1], place[3], place[2])
    if row == false and not term.gone and term.rolling > 0 then  -- its slice is out of the window, and went
      row = made_row(place[1], place[3], place[3] + term.rolling / 60, place[2])
    end
    if row then
      found[#found + 1] = { term = term, row = row, total = term.rolling > 0 and total_of(term, row.key) or row }
    end
  end
  return found
end

local function state_of(one)
  local term, spent = one.term, one.total.spent
  return less(term.most, spent) and 'overrun' or less(spent, term.from) and 'ok' or 'exceeded'
end

-- Of an amount below 0 as much as there is to take it from.
local function taken(amount, counted)
  if not less(sum(counted, amount), '0') then return amount end
  return counted == '0' and '0' or '-' .. counted
end

-- Add to a row what a call costs otherwise, and count none; the state that it leaves.
local function correct(one, step)
  local term, row = one.term, one.row
  add(term, row, 'spent', taken(({ step[5], step[6], '0' })[term.at], row.spent))
  put(row, 'input', sum(row.input, taken(step[3], row.input)))
  put(row, 'output', sum(row.output, taken(step[4], row.output)))
  return state_of(one)
end

-- Add the cost to a row; the state that it leaves.
local function charge(one, step, held)
  if not step[9] then return correct(one, step) end
  local term, row = one.term, one.row
  local cost = term.at == 1 and step[5] or term.at == 2 and step[6] or '1'
  if term.strict and not step[8] and held then
    local whole = text(held[term.at])
    if less(cost, whole) then cost = whole end
  end
  add(term, row, 'spent', cost)
  put(row, 'input', sum(row.input, step[3]))
  put(row, 'output', sum(row.output, step[4]))
  if row.most ~= term.most then put(row, 'most', term.most) end
  local state = state_of(one)
  local counted = step[7] and 'failed' or state
  put(row, counted, sum(row[counted], 1))
  return state
end

-- The step: 'settle', when it began (seconds), input, output, both, tokens, failed, known, whether it counts, and accounts as of `reserve`.
local function settle(step, event)
  local record = record_of(event)
  if record.state == 'settled' or record.state == 'blocked' then return { 'settled', false, record.states, {} } end
  local accounts, held
  if record.state then
    take_back(record)
    accounts, held = reserved_accounts(record), record.hold
  else
    accounts = told_accounts(step)
  end
  local states, crossed = {}, {}
  for i = 1, #accounts do
    local one = accounts[i]
    states[i] = { one.term.number, LETTERS[charge(one, step, held)] }
    if #one.term.alerts > 0 then cross(one, crossed) end
  end
  local told = 's' .. states_of(states)
  if record.state or #accounts > 0 then record.state, record.states, record.changed = 'settled', told, true end
  return { 'settled', true, told, crossed }
end
