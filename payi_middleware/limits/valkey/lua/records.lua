-- What is known of a call: what it holds while it runs, and how it left its limits for some days after that.

local ENDED, BLOCKED = 101, 98  -- 'e', with which nothing that is packed begins, and 'b'

-- A call that ended is kept as when that is forgotten (seconds), and how it left its limits; one that runs as its state, when its
-- lease ended (0: it has not), its application, what it holds, and its places.
-- Its state is held, lapsed, settled, blocked, or nil for a call that nothing is known of.
local function record_of(event)
  local record = records[event]
  if record then return record end
  -- With its usual fields, though they are nil: a table that grows is made anew each time.
  record = { event = event, state = nil, was = nil, due = nil, application = nil, hold = nil, places = nil, changed = nil }
  records[event], records[#records + 1] = record, record
  local kept = read[event]
  if kept == nil then kept = call('GET', base .. ':h:' .. event) end
  if not kept then return record end
  local kind = kept:byte()
  if kind == ENDED then
    if struct.unpack('>I4', kept, 2) > now / SECOND then
      record.states = kept:sub(6)
      record.state = record.states:byte() == BLOCKED and 'blocked' or 'settled'
    end
  else
    local held = { cmsgpack.unpack(kept) }
    record.was, record.due, record.application = held[1], held[2], held[3]
    record.hold, record.places = { held[4], held[5], held[6] }, {}
    for i = 7, #held, 4 do record.places[#record.places + 1] = { held[i], held[i + 1], held[i + 2], held[i + 3] } end
    if record.was == 'held' or record.due + asked[KEPT] > now then record.state = record.was end
  end
  return record
end

local function is_held(record)
  return record.state == 'held' or record.state == 'lapsed'
end

-- Hold more, or less, in the rows of a call. A place: a limit's number, a key, when the row begins, which amount it counts.
local function hold(record, sign, amounts)
  local places = record.places
  for i = 1, #places do
    local place = places[i]
    local term = limit(place[1])
    local row = row_at(place[1], place[3], place[2])
    if row then add(term, row, 'held', sign * amounts[place[4]]) end  -- else its account was forgotten
  end
end

local function take_back(record)
  if record.state == 'held' then hold(record, -1, record.hold) end
end

-- Its lease ended: it holds nothing, and is known still, so that its end finds its rows. One that was renewed meanwhile goes on.
-- Whether it is among the leases until records are written.
local function lapse(event, due)
  local record = record_of(event)
  if record.state == 'held' and not record.renewed then
    take_back(record)
    record.state, record.due, record.changed = due + asked[KEPT] > now and 'lapsed' or nil, due, true
  elseif record.was ~= 'held' then
    call('ZREM', base .. ':leases', event)  -- its hold was dropped by the server
    return false
  end
  return true
end

-- Let leases end that are over, so many at most; whether there may be more.
local function sweep(most)
  local over = call('ZRANGEBYSCORE', base .. ':leases', '-inf', now, 'WITHSCORES', 'LIMIT', swept, most)
  for i = 1, #over, 2 do
    if lapse(over[i], tonumber(over[i + 1])) then swept = swept + 1 end
  end
  return #over / 2 == most
end

local function write_ended(event, states)
  local due = struct.pack('>I4', math.floor((now + asked[KEPT]) / SECOND))
  call('SET', base .. ':h:' .. event, 'e' .. due .. states, 'PX', math.ceil(asked[KEPT] / 1000))
end

local function write_running(event, packed)
  call('SET', base .. ':h:' .. event, packed, 'PX', math.ceil((asked[LEASE] + asked[KEPT]) / 1000))
end

local function write_held(record)
  local amounts, places = record.hold, record.places
  local due = record.state == 'lapsed' and record.due or 0
  local packed
  if #places == 1 then
    local place = places[1]
    packed = cmsgpack.pack(
      record.state, due, record.application, amounts[1], amounts[2], amounts[3], place[1], place[2], place[3], place[4]
    )
  else
    local parts = { cmsgpack.pack(record.state, due, record.application, amounts[1], amounts[2], amounts[3]) }
    for i, place in ipairs(places) do parts[i + 1] = cmsgpack.pack(unpack(place)) end
    packed = table.concat(parts)
  end
  write_running(record.event, packed)
  if record.state == 'lapsed' then
    call('ZADD', base .. ':lapsed', due + asked[KEPT], record.event)
  elseif record.was ~= 'held' or record.renewed then
    call('ZADD', base .. ':leases', now + asked[LEASE], record.event)
  end
end

local function write_records()
  for i = 1, #records do
    local record = records[i]
    if record.changed then
      if record.was == 'held' and record.state ~= 'held' then call('ZREM', base .. ':leases', record.event) end
      if record.was == 'lapsed' and record.state ~= 'lapsed' then call('ZREM', base .. ':lapsed', record.event) end
      if is_held(record) then
        write_held(record)
      elseif record.states then
        write_ended(record.event, record.states)
      else
        call('DEL', base .. ':h:' .. record.event)
      end
    end
  end
  if swept > 0 then call('ZREMRANGEBYSCORE', base .. ':lapsed', '-inf', now) end
end
