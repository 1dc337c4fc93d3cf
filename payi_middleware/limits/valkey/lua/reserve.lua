-- Before a call: all of its accounts take it, or none.

local LONG = 500  -- leases that are looked at more, before a call is refused: one that is over must refuse nobody

local function refuses(one, amounts)
  local term, total = one.term, one.total
  if not term.blocks then return false end
  local used = sum(total.spent, total.held)
  if term.strict then return less(term.most, sum(used, amounts[term.at])) end
  return not less(used, term.most)
end

local function refusing(accounts, amounts)
  local found, any = {}, false
  for i = 1, #accounts do
    found[i] = refuses(accounts[i], amounts)
    any = any or found[i]
  end
  return any and found
end

local WORSE = { o = 1, e = 2, v = 3, x = 4, b = 5 }

-- By limit, in the order in which they were met; of several accounts of a limit the worst.
local function states_of(found)
  if #found == 1 then return found[1][1] .. found[1][2] end
  local worst, order = {}, {}
  for _, one in ipairs(found) do
    local number, state = one[1], one[2]
    if not worst[number] then order[#order + 1] = number end
    if not worst[number] or WORSE[state] > WORSE[worst[number]] then worst[number] = state end
  end
  local told = {}
  for i, number in ipairs(order) do told[i] = number .. worst[number] end
  return table.concat(told, ',')
end

local function refused(record, accounts, found)
  local states, letters = {}, ''
  for i, one in ipairs(accounts) do
    local state = found[i] and 'blocked' or 'blocked_external'
    put(one.row, state, sum(one.row[state], 1))
    if one.row.most ~= one.term.most then put(one.row, 'most', one.term.most) end
    states[i] = { one.term.number, found[i] and 'b' or 'x' }
    letters = letters .. states[i][2]
  end
  record.state, record.states, record.changed = 'blocked', 'b' .. states_of(states), true
  return standings({ 'blocked', record.states, letters }, accounts)
end

-- The step: 'reserve', application, three amounts, and of each account its limit's number, its key, begin and end of its window.
local function reserve(step, event)
  local record = record_of(event)
  local accounts, amounts = {}, { step[3], step[4], step[5] }
  for i = 6, #step, 4 do accounts[#accounts + 1] = account_now(step[i], step[i + 1], step[i + 2], step[i + 3]) end
  if record.state == 'blocked' then return standings({ 'blocked', record.states, '' }, accounts) end
  if record.state then return standings({ 'admitted' }, accounts) end
  local found = refusing(accounts, amounts)
  while found and sweep(LONG) do found = refusing(accounts, amounts) end
  found = found and refusing(accounts, amounts)
  if found then return refused(record, accounts, found) end
  local places = {}
  for i = 1, #accounts do
    local one = accounts[i]
    if one.row.most ~= one.term.most then put(one.row, 'most', one.term.most) end
    add(one.term, one.row, 'held', amounts[one.term.at])
    places[i] = { one.term.number, one.row.key, one.row.starts, one.term.at }
  end
  if #places > 0 then
    record.application, record.hold, record.places = step[2], amounts, places
    record.state, record.renewed, record.changed = 'held', true, true
  end
  return standings({ 'admitted' }, accounts)
end
