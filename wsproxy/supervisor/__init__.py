"""Assembly: several processes of one proxy, and the handover from one proxy to its successor."""
